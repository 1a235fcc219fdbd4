"""Sessions: the same log gives the same frames, and branches stay apart."""

import pytest

from experiments.dreaming import input_log
from experiments.dreaming import moments
from experiments.dreaming import session as session_lib
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from tests.experiments.dreaming import made

_PRESSED = (0, 3, 3, 4, 1, 7, 2)


def _played(luck=5, pressed=_PRESSED):
  player = made.Player(luck)
  for action in pressed:
    player.press(action)
  return player


def _replayed(log):
  """Another session, which does what a log says and nothing else."""
  events = list(input_log.events(log.moves))
  player = made.Player(next((v for k, v in events if k == "luck"), 0))
  for kind, value in events:
    if kind == "press":
      player.press(value, "log")
    elif kind == "luck":
      player.session.luck = value
    elif kind == "likely":
      player.session.likely = value
    else:
      player.follow()
  return player


def test_it_begins_where_the_real_game_is():
  player = made.Player(3)
  here = player.session.here
  assert here.steps == 0 and here.action is None and here.real is not None
  assert (
    here.beliefs["dream"]["place"]["map"]
    == (here.beliefs["real"]["place"]["map"])
  )
  assert "surprise" not in here.beliefs  # nobody expected anything


def test_a_log_plays_a_session_again():
  player = _played()
  session = player.session
  session.luck = 77
  player.press(2)
  player.follow()
  session.likely = True
  player.press(3)
  player.press(3)
  session.likely = False
  player.press(0)
  log = session.log()
  assert log.moves == "L5;duua" + "l.r" + "L77;rSMuumd"
  again = _replayed(input_log.from_link(input_log.to_link(log)))
  assert made.same(made.frames(session), made.frames(again.session))
  assert made.same(session.clip(99)[1], again.session.clip(99)[1])
  assert again.session.log() == log


def test_luck_alone_makes_another_dream():
  one, same, other = _played(), _played(), _played(6)
  assert made.same(made.frames(one.session), made.frames(same.session))
  assert not made.same(made.frames(one.session), made.frames(other.session))


def test_most_likely_knows_no_luck():
  player = made.Player(1)
  session, found = player.session, {}
  for likely in (True, False):
    for luck in (2, 3):
      session.go(session.tree[0])
      session.luck, session.likely = luck, likely
      for action in _PRESSED:
        player.press(action, sees=False)
      found[likely, luck] = made.frames(session)
  assert made.same(found[True, 2], found[True, 3])
  assert not made.same(found[False, 2], found[False, 3])


def test_going_back_and_on_is_a_branch_and_the_old_one_stays():
  player = _played()
  session = player.session
  end, before = session.here, made.frames(session)
  fork = session.tree.back(end, 3)
  session.go(fork)
  assert session.here.steps == len(_PRESSED) - 3
  session.luck = 99
  player.press(6)
  assert session.here.parent == fork.number and session.here.luck == 99
  session.go(end)
  assert session.luck == end.luck
  assert made.same(made.frames(session), before)
  # The same button with the same luck is no branch.
  session.go(fork)
  count = len(session.tree)
  player.press(_PRESSED[len(_PRESSED) - 3])
  assert len(session.tree) == count
  knots = {m.number: above for m, above in session.tree.knots(session.here)}
  assert knots[fork.number] == 0 and len(knots) == 5


def test_a_branch_goes_on_as_if_nothing_else_had_been():
  straight = _played(5, (0, 3, 4))
  player = _played(5, (0, 3, 1, 1, 1))
  player.session.go(player.session.tree.back(player.session.here, 3))
  player.press(4)
  assert made.same(made.frames(straight.session), made.frames(player.session))
  assert straight.session.here.beliefs == player.session.here.beliefs


def test_what_was_not_seen_is_caught_up_with():
  beside, alone = _played(), made.Player(5)
  for action in _PRESSED:
    alone.press(action, sees=False)
  with pytest.raises(ValueError, match="not at this moment"):
    alone.session.follow()
  assert alone.session.clip(99)[1] is None
  assert len(alone.session.missing()) == len(_PRESSED)
  alone.see()
  assert not alone.session.missing()
  one, other = (p.session.here for p in (beside, alone))
  assert one.state == other.state and one.beliefs == other.beliefs
  for player in (beside, alone):
    player.follow()
  assert made.same(made.frames(beside.session), made.frames(alone.session))


def test_agreement_counts_steps_in_a_row():
  player = made.Player(1)
  session = player.session
  for step in range(1, 4):
    player.press(3, sees=False)
    row = player.game.enter(session.buttons())
    row["frame"] = moments.unpack_frame(session.here.frame)
    session.saw(player.run(session.see(row)), row)
    assert session.here.agreed == step
  player.press(3)  # another frame
  assert session.here.agreed == 0


def test_the_real_game_does_not_change_a_dream():
  beside, alone = _played(), made.Player(5)
  for action in _PRESSED:
    alone.press(action, sees=False)
  assert made.same(made.frames(beside.session), made.frames(alone.session))


def test_what_the_policy_would_press_is_at_hand_everywhere():
  player = _played()
  session = player.session
  assert session.choice == session.here.beliefs["choice"]
  assert len(session.here.beliefs["odds"]) == specs.NUM_ACTIONS
  assert "value" in session.here.beliefs
  session.go(session.tree.back(session.here, 2))
  assert session.choice == session.here.beliefs["choice"]


def test_mistakes_are_told():
  player = made.Player()
  session = player.session
  with pytest.raises(ValueError, match="button: 8"):
    session.press(8)
  with pytest.raises(ValueError, match="moment: 5"):
    session.tree[5]
  with pytest.raises(ValueError, match="not trained under goals"):
    session.pursue(goal_specs.Goal("map", map_id=1))
  log = session.log()
  with pytest.raises(ValueError, match="of the game"):
    session.check(input_log.Log(log.model, "f" * 40))
  assert session.check(log) == []
  assert session.check(input_log.Log("other@2", log.rom_sha1))


def test_a_full_session_makes_no_more_steps(monkeypatch):
  monkeypatch.setattr(moments, "MOST", 3)
  player = _played(5, (0, 1))
  with pytest.raises(ValueError, match="3 moments"):
    player.session.press(0)


def test_letters_of_a_path_name_changes_alone():
  assert session_lib.moves([]) == ""
  player = _played(5, (0, 0))
  assert player.session.log().moves == "L5;dd"
