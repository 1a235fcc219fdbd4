"""Each reason to ask fires when it should, once, and not when it chatters."""

import dataclasses

import pytest

from pokedreamer_jax.planner import triggers
from tests.pokedreamer_jax.planner import games

_CONFIG = triggers.TriggerConfig(
  stuck_env_steps=20,
  goal_env_steps=15,
  stagnant_env_steps=6,
  stagnant_rise=0.1,
  still_env_steps=1000,  # most games here never take a step
  gap_env_steps=4,
  reached_gap_env_steps=3,
  battle_gap_env_steps=8,
  battle_quiet_env_steps=2,
)


def _play(rows, answered=True, reached=(), values=None, config=_CONFIG):
  """Asks on each reason; returns `(env step, reason)` of those after start.

  Args:
    rows: of a game.
    answered: whether a goal is given on the step on which one asks.
    reached: env steps that reach the goal.
    values: of the goal, by env step.
    config: of the triggers.
  """
  watch = triggers.Triggers(config)
  found = []
  for moment in games.moments(*rows):
    step = moment.state.env_step
    value = None if values is None else values[step]
    reason = watch.update(moment, step in reached, value)
    if reason is None:
      continue
    found.append((step, reason))
    watch.asked(step)
    if answered:
      watch.given(step, step)
  assert found[0] == (0, "start")
  return found[1:]


def _quiet(count, **changes):
  return [games.row(**changes) for _ in range(count)]


def _kinds(found):
  return [reason for _, reason in found]


def test_a_new_area_asks_once_and_its_border_never_again():
  rows = _quiet(5)
  for _ in range(4):  # over the border, to and fro
    rows += _quiet(1, map_id=2) + _quiet(1)
  assert _play(rows) == [(5, "area")]


@pytest.mark.parametrize("field", ["badges", "event_flags"])
def test_a_progress_flag_asks_once_although_it_goes_to_and_fro(field):
  rows = _quiet(5)
  for _ in range(4):
    rows += _quiet(1, **{field: 1}) + _quiet(1)
  assert _play(rows) == [(5, "progress")]


def test_progress_in_a_row_asks_once_a_gap():
  rows = _quiet(6) + [games.row(event_flags=n) for n in range(1, 7)]
  assert _play(rows + _quiet(3, event_flags=6)) == [
    (6, "progress"),
    (10, "progress"),
    (14, "progress"),
  ]


def test_species_and_levels_are_progress_but_no_reason():
  rows = _quiet(10) + _quiet(15, dex_owned=2) + _quiet(15, party_level=6)
  assert "stuck" not in _kinds(_play(rows))
  assert set(_kinds(_play(rows))) == {"out of time"}


def test_stuck_asks_at_n_and_at_two_n_and_anew_after_progress():
  rows = _quiet(45)
  assert [f for f in _play(rows) if f[1] == "stuck"] == [
    (20, "stuck"),
    (40, "stuck"),
  ]
  rows = _quiet(19) + _quiet(25, event_flags=1)
  assert [f for f in _play(rows) if f[1] == "stuck"] == [(39, "stuck")]


def _walking(count):
  """Rows on which the player goes round a block."""
  return [
    games.row(x=(0, 1, 1, 0)[i % 4], y=(0, 0, 1, 1)[i % 4])
    for i in range(count)
  ]


def test_who_stands_on_one_cell_asks_after_a_while_and_after_as_long_again():
  config = dataclasses.replace(
    _CONFIG, still_env_steps=12, goal_env_steps=99, stuck_env_steps=99
  )

  def asked(rows):
    found = _play(rows, values=range(len(rows)), config=config)
    return [step for step, reason in found if reason == "still"]

  # Its twelfth row with control, and twelve after that call.
  assert asked(_walking(5) + _quiet(30, x=7)) == [16, 28]
  # What holds it up does not count; a step, or a battle, begins anew.
  assert not asked(_walking(5) + _quiet(30, x=7, has_control=False))
  assert not asked((_quiet(10, x=7) + _quiet(2, x=8)) * 3)
  fights = _quiet(9, x=7) + _quiet(1, x=7, in_battle=1) + _quiet(9, x=7)
  assert not asked(fights)


def test_a_goal_that_is_reached_asks_at_once_and_then_once_a_gap():
  assert _play(_quiet(12), reached={6}) == [(6, "reached")]
  every = _play(_quiet(16), reached=set(range(5, 16)))
  assert [step for step, _ in every] == [5, 8, 11, 14]


def test_a_goal_out_of_time_asks_once_each_time():
  found = [f for f in _play(_quiet(48)) if f[1] == "out of time"]
  # Given anew at 0 and, as other reasons give it, whenever one asks.
  assert found[0] == (15, "out of time")
  waiting = _play(_quiet(34), answered=False)
  assert "out of time" not in _kinds(waiting)  # no goal, no time


@pytest.mark.parametrize(("anew", "expected"), [(False, 15), (True, 25)])
def test_a_goal_that_is_named_again_has_no_time_again(anew, expected):
  watch = triggers.Triggers(_CONFIG)
  asked = []
  for moment in games.moments(*_quiet(30)):
    step = moment.state.env_step
    if watch.update(moment, False, None) == "out of time":
      asked.append(step)
    if step in (0, 10):
      watch.asked(step)
      watch.given(step, step, anew)
  assert asked[0] == expected


def test_a_value_that_does_not_rise_asks_once_until_it_does():
  rising = [0.05 * step for step in range(15)]
  assert _play(_quiet(15), values=rising) == []
  flat = [0.5] * 12
  assert _play(_quiet(12), values=flat)[0] == (7, "stagnant")
  # A battle is no time in which anybody gets nearer.
  fought = _quiet(4) + _quiet(6, in_battle=1) + _quiet(9)
  found = _play(fought, values=[0.5] * 19)
  assert found == [(11, "battle"), (18, "stagnant")]
  # Trembling by less than a rise is flat too.
  trembling = [0.5 + 0.04 * (step % 2) for step in range(12)]
  assert _play(_quiet(12), values=trembling)[0] == (7, "stagnant")
  watch = triggers.Triggers(_CONFIG)
  reasons = []
  for moment in games.moments(*_quiet(14)):
    step = moment.state.env_step
    reasons.append(watch.update(moment, False, 0.5))
    if reasons[-1]:
      watch.asked(step)  # nobody answers: it is not said again
      if step == 0:
        watch.given(step, step)
  assert reasons.count("stagnant") == 1


def test_a_battle_asks_when_it_is_over_for_some_rows():
  rows = _quiet(6) + _quiet(3, in_battle=1) + _quiet(1)
  flicker = rows + _quiet(2, in_battle=1) + _quiet(3)
  assert _play(flicker) == [(13, "battle")]


def test_battles_soon_after_a_call_do_not_ask():
  battle = _quiet(2, in_battle=1) + _quiet(2)
  found = _play(_quiet(8) + battle + battle + battle + battle)
  # They end at 11, 15, 19 and 23.
  assert [step for step, why in found if why == "battle"] == [11, 19]
  assert _play(_quiet(3) + battle + _quiet(3)) == []


def _battle(species, count=2, **changes):
  fight = {"in_battle": 1, "enemy_species": species, "capture_items": 3}
  return _quiet(count, **fight | changes) + _quiet(2)


def test_who_comes_out_of_a_battle_hurt_asks_once():
  fight = lambda hp: (
    _quiet(2, in_battle=1, party_hp=hp) + _quiet(2, party_hp=hp)
  )
  start = _quiet(3)
  assert _play(start + fight(10)) == []
  assert _play(start + fight(9)) == [(6, "battle")]  # 45 %
  assert _play(start + fight(9) + fight(8)) == [(6, "battle")]
  well = _quiet(1, party_hp=20)
  again = start + fight(9) + well + fight(8)
  assert _play(again) == [(6, "battle"), (11, "battle")]


def test_whoever_meets_a_new_species_is_asked_once_a_battle():
  start = _quiet(3)
  assert _play(start + _battle(9, 4)) == [(3, "meets")]
  # Its own species is none to catch, nor a trainer's, nor with empty hands.
  for known in (
    _battle(7),
    _battle(9, in_battle=2),
    _battle(9, capture_items=0),
  ):
    assert _play(start + known) == []
  # What got away is new the next time, what was caught is not.
  assert _kinds(_play(start + _battle(9) + _battle(9))) == ["meets", "meets"]
  fight = _battle(9)[:2] + _battle(9, dex_owned=2)[:2]
  later = _quiet(3, dex_owned=2) + _battle(9, dex_owned=2)
  assert _kinds(_play(start + fight + later)) == ["meets", "battle"]
  # What is gained long after a battle is somebody else.
  gift = _quiet(9) + _quiet(9, dex_owned=2) + _battle(9, dex_owned=2)
  assert _kinds(_play(start + _battle(9) + gift)).count("meets") == 2


def test_of_several_reasons_the_first_is_told_and_all_are_done():
  rows = _quiet(6) + _quiet(5, map_id=2, badges=1)
  assert _play(rows, reached={6}) == [(6, "reached")]


@pytest.mark.parametrize(("seen", "expected"), [(2, "area"), (3, None)])
def test_progress_that_the_answer_did_not_know_of_is_asked_about_next(
  seen, expected
):
  watch = triggers.Triggers(_CONFIG)
  rows = [*_quiet(3), games.row(map_id=2), *_quiet(4, map_id=2)]
  reasons = []
  for moment in games.moments(*rows):
    step = moment.state.env_step
    reasons.append(watch.update(moment, step == 4, None))
    if step == 0:
      watch.asked(step)
    if step == 5:
      watch.given(step, seen)
  assert reasons[6] == expected  # and what was reached is answered in any case


def test_settings_are_checked():
  with pytest.raises(ValueError, match=r"triggers.stuck_env_steps: 0"):
    triggers.TriggerConfig(stuck_env_steps=0)
  with pytest.raises(ValueError, match=r"triggers.stagnant_rise: 2"):
    triggers.TriggerConfig(stagnant_rise=2)
  with pytest.raises(ValueError, match=r"triggers.hurt_share: -0.1"):
    triggers.TriggerConfig(hurt_share=-0.1)


def test_who_is_led_on_has_as_long_again_and_what_else_waits_stays():
  watch = triggers.Triggers(_CONFIG)
  reasons = {}
  for moment in games.moments(*_quiet(3), *_quiet(40, map_id=2)):
    step = moment.state.env_step
    if reason := watch.update(moment, False, 0.5):
      reasons.setdefault(reason, step)
    if step == 0:
      watch.asked(step)
      watch.given(step, step)
    if 0 < step < 30:
      watch.led(step)
  assert reasons.pop("start") == 0 and reasons.pop("area") < 30
  assert min(reasons.values(), default=99) > 30
