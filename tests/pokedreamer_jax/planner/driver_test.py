"""A call never holds up a step; whatever becomes of it, the game has goals."""

import json
import time

import numpy as np
import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import driver
from pokedreamer_jax.planner import progress
from pokedreamer_jax.planner import replay
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import trace
from pokedreamer_jax.planner import triggers
from tests.pokedreamer_jax.planner import games

_PATIENT = triggers.TriggerConfig(
  stuck_env_steps=50, goal_env_steps=20, gap_env_steps=1
)


def _config(**changes):
  return driver.DriverConfig(**{"triggers": _PATIENT, **changes})


def _until(condition, *, seconds=20.0):
  """Waits for another thread."""
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.002)


def _answered(made):
  """Waits until an answer lies ready; the driver takes it on its next step."""
  _until(lambda: not made._caller._answers.empty())


class _Game:
  """A driver with a planner that is told what to say, and what it left."""

  def __init__(self, path, *goals, **settings):
    self.planner, self.log = games.Told(), []
    self.planner.say(*goals)
    config = _config(**settings.pop("config", {}))
    self.path = path / "trace.jsonl"
    self.driver = driver.Driver(
      games.small_world(),
      config,
      planner=self.planner,
      trace_path=self.path,
      log=self.log.append,
      **settings,
    )

  def step(self, answer=True, reached=False, **row):
    """A step; with `answer` what is asked is answered before the next."""
    goal = self.driver.step(games.row(**row), reached)
    if answer and self.driver._caller.waits:
      _answered(self.driver)
    return None if goal is None else str(goal)

  def end(self):
    self.planner.may_answer.set()
    self.driver.close()
    return trace.read(self.path)


def test_the_offline_planner_answers_in_the_same_step():
  made = driver.Driver(games.small_world(), _config())
  assert str(made.step(games.row())) == "reach map 2"
  assert made.step(games.row()) is None
  assert str(made.step(games.row(map_id=2))) == "win trainer battle"
  made.close()
  assert made.summary()["done"] == {"applied": 2}


def test_an_answer_is_applied_on_a_later_step_and_none_waits(tmp_path):
  game = _Game(tmp_path, "talk")
  game.planner.may_answer.clear()
  for i in range(5):
    began = time.monotonic()
    assert (game.step(answer=False) is None) == (i > 0)
    assert time.monotonic() - began < 5
  assert game.planner.asked.acquire(timeout=20)
  game.planner.may_answer.set()
  _answered(game.driver)
  assert game.step() == "talk"
  assert game.step() is None
  interim, call = game.end().calls
  assert (interim["done"], interim["applied_step"]) == ("interim", 0)
  assert (call["asked_step"], call["applied_step"]) == (0, 5)
  assert (call["planner"], call["answered_by"]) == ("told", "told")
  assert (call["tokens_in"], call["tokens_out"]) == (100, 10)
  assert game.log == []


def test_what_a_service_named_takes_no_time_of_an_interim_milestone(tmp_path):
  game = _Game(tmp_path, "talk")
  game.step()  # in the meantime the offline planner names one
  tries = game.driver._offline._tries
  assert tries._pursued is not None
  assert game.step() == "talk"
  assert tries._pursued is None
  game.end()


def test_what_a_service_said_amid_a_catch_replaces_an_interim_milestone(
  tmp_path,
):
  game = _Game(tmp_path, "talk")
  game.planner.may_answer.clear()
  game.step(answer=False)
  game.step(answer=False, **_WILD)
  tries = game.driver._offline._tries
  assert tries._pursued is not None  # it would go on after the battle
  game.planner.may_answer.set()
  _answered(game.driver)
  game.step(answer=False, **_WILD)
  assert game.driver.summary()["done"]["held"] == 1
  assert tries._pursued is None
  game.end()


def test_no_step_is_held_up_by_a_planner_that_never_answers(tmp_path):
  game = _Game(tmp_path, config={"deadline_s": 300.0})
  game.planner.may_answer.clear()
  game.planner.say("talk")
  for i in range(200):
    game.step(answer=False, event_flags=i // 10)
  _until(lambda: game.planner.requests)  # its thread may begin later
  assert len(game.planner.requests) == 1  # one in flight
  game.end()


def test_the_screen_is_that_of_the_step_that_asked(tmp_path):
  game = _Game(tmp_path, "talk")
  frame = games.FRAME.copy()
  game.driver.step(games.row(), frame=frame)
  frame[:] = 255  # the emulator draws on
  _answered(game.driver)
  game.step()
  game.end()
  expected = requests.with_screen(game.planner.requests[0], games.FRAME)
  assert game.planner.requests[0].screenshot == expected.screenshot


def test_a_request_leads_with_what_became_of_the_last_goal(tmp_path):
  game = _Game(tmp_path, "talk", "heal", "explore new map")
  game.step()
  game.step()  # talk is applied
  for _ in range(4):
    game.step()
  game.step(reached=True, y=9)
  assert str(game.driver.goal) == "reach map 2"  # interim
  game.step()
  for _ in range(25):
    game.step()
  game.end()
  last = [request.last_goal for request in game.planner.requests]
  assert last[0] == schema.LastGoal(None, "none", 0, None)
  assert last[1] == schema.LastGoal("talk", "reached", 5, schema.Place(1, 9, 4))
  assert (last[2].goal, last[2].outcome) == ("heal", "out of time")
  assert game.planner.requests[2].current_goal == "heal"


def test_there_is_an_interim_goal_while_an_answer_is_awaited(tmp_path):
  game = _Game(tmp_path, "talk", "heal")
  game.planner.may_answer.clear()
  assert game.step(answer=False) == "reach map 2"
  # It is reached meanwhile: another one, of the place where the game is now.
  assert game.step(answer=False, map_id=2, reached=True) == "win trainer battle"
  assert len(game.planner.requests) <= 1
  game.planner.may_answer.set()
  _answered(game.driver)
  assert game.step(map_id=2) == "talk"
  found = game.end()
  calls = [c for c in found.calls if c["applied_step"] is not None][:3]
  assert [c["done"] for c in calls] == ["interim", "interim", "applied"]
  assert [c["trigger"] for c in calls] == ["start", "reached", "start"]
  assert [c["answered_by"] for c in calls] == ["offline", "offline", "told"]
  ended = [
    (line["goal"], line["outcome"])
    for line in found.lines
    if line["kind"] == "goal"
  ]
  assert ended[:2] == [
    ("reach map 2", "reached"),
    ("win trainer battle", "replaced"),
  ]
  assert found.lines[-1]["asked"]["start"] == 1  # interim goals ask nobody


def test_an_interim_goal_has_not_failed_where_the_one_asked_about_had(tmp_path):
  game = _Game(tmp_path, "talk", "heal", "explore new map")
  game.step()
  game.step()  # talk is applied
  game.planner.may_answer.clear()
  for _ in range(21):
    game.step(answer=False)  # out of time: asked
  game.step(answer=False, reached=True)
  game.planner.may_answer.set()
  _answered(game.driver)
  game.step()
  ended = [
    (line["goal"], line["outcome"])
    for line in game.end().lines
    if line["kind"] == "goal"
  ]
  assert ended[1:3] == [("talk", "reached"), ("reach map 2", "replaced")]


def test_a_new_map_drops_no_reply_and_is_asked_about_next(tmp_path):
  game = _Game(tmp_path, "talk", "heal")
  game.planner.may_answer.clear()
  game.step(answer=False)
  game.step(answer=False, map_id=2)
  game.planner.may_answer.set()
  _answered(game.driver)
  assert game.step(map_id=2) == "talk"
  assert game.step(map_id=2) is None  # asked anew
  assert game.step(map_id=2) == "reach map 1"  # where one heals
  assert str(game.driver.errand) == "heal"
  calls = [c for c in game.end().calls if c["done"] != "interim"]
  assert [c["done"] for c in calls] == ["applied", "applied"]
  assert calls[1]["trigger"] == "area"
  assert game.log == []


def test_whom_it_meets_is_no_service_s_affair(tmp_path):
  game = _Game(tmp_path, "talk")
  for _ in range(3):
    game.step()
  wild = {"in_battle": 1, "enemy_species": 9, "capture_items": 2}
  assert game.step(**wild) == "own 2 species"
  for _ in range(4):
    game.step(capture_items=2)
  assert str(game.driver.goal) == "talk"
  assert len(game.planner.requests) == 1
  call = game.end().calls[-1]
  assert (call["trigger"], call["answered_by"]) == ("meets", "offline")


@pytest.mark.parametrize(
  ("told", "first"), [(False, "earn badge 0"), (True, "reach map 2")]
)
def test_where_a_badge_is_only_a_walkthrough_says(tmp_path, told, first):
  switches = schema.Switches(walkthrough=told)
  game = _Game(tmp_path, "earn badge 0", config={"switches": switches})
  game.step()
  game.step()
  assert str(game.driver.errand) == "earn badge 0"
  assert str(game.driver.goal) == first
  game.end()


_WILD = {"in_battle": 1, "enemy_species": 9, "capture_items": 2}


def _replayed(game, rows):
  """The goals of a game's trace with the same rows."""
  made = driver.Driver(
    games.small_world(), replay=replay.Replay(trace.read(game.path))
  )
  return _play(made, rows)


def test_an_answer_is_no_battles_that_was_asked_for_while_walking(tmp_path):
  game = _Game(tmp_path, "talk", "earn badge 0")
  game.step()
  game.step()
  game.planner.may_answer.clear()
  while not game.driver._caller.waits:  # out of time, in two ways
    game.step(answer=False)
  game.step(answer=False, in_battle=1)
  game.planner.may_answer.set()
  _answered(game.driver)
  game.step(in_battle=1)
  assert str(game.driver.errand) == "earn badge 0"
  for _ in range(6):
    game.step()
  assert str(game.driver.errand) == "earn badge 0"  # not the one it failed at
  assert "resumed" not in game.driver.summary()["led"]
  game.end()


def test_what_else_is_answered_amid_a_catch_waits_for_the_battles_end(tmp_path):
  game = _Game(tmp_path, "talk", "heal", "earn badge 0")
  rows, goals = [], []

  def step(answer=True, **row):
    rows.append(games.row(**row))
    game.step(answer, **row)
    goals.append(str(game.driver.goal))

  step()
  step()
  game.planner.may_answer.clear()
  step(answer=False, map_id=2)  # the new map is asked about
  step(answer=False, map_id=2, event_flags=1)
  step(answer=False, map_id=2, event_flags=1, **_WILD)
  assert str(game.driver.errand) == "own 2 species"
  game.planner.may_answer.set()
  _answered(game.driver)
  after = {"map_id": 2, "event_flags": 1, "capture_items": 2}
  for _ in range(3):
    step(**{**after, **_WILD})
  assert str(game.driver.errand) == "own 2 species"
  for _ in range(6):
    step(**after)
  # The flag that came up meanwhile is asked about, and that answer counts.
  assert str(game.driver.errand) == "earn badge 0"
  summary = game.driver.summary()
  assert summary["asked"] == {"area": 1, "meets": 1, "progress": 1, "start": 1}
  assert summary["done"]["held"] == 2 and summary["led"]["resumed"] == 1
  game.end()
  assert _replayed(game, rows) == goals


def test_a_badge_makes_a_reply_void_and_it_is_asked_anew(tmp_path):
  game = _Game(tmp_path, "talk", "heal")
  game.planner.may_answer.clear()
  game.step(answer=False)
  game.step(answer=False, badges=1)
  game.planner.may_answer.set()
  _answered(game.driver)
  game.step(badges=1)
  assert game.step(badges=1) == "heal"
  calls = [c for c in game.end().calls if c["done"] != "interim"]
  assert [c["done"] for c in calls] == ["passed", "applied"]
  assert calls[1]["trigger"] == "passed"
  assert len(game.log) == 1
  assert game.log[0].endswith("a reply was dropped: a badge was earned since")


def test_a_goal_that_holds_by_now_is_dropped(tmp_path):
  game = _Game(tmp_path, "talk", "reach map 1", "heal")
  for map_id in (1, 2):
    game.step(map_id=map_id)
  game.planner.may_answer.clear()
  game.step(answer=False, map_id=2)  # the new map is asked about
  game.planner.may_answer.set()
  _answered(game.driver)
  game.step(map_id=1)
  calls = [c for c in game.end().calls if c["done"] != "interim"]
  assert [c["done"] for c in calls[:2]] == ["applied", "passed"]
  assert calls[1]["reply"]["goal"] == "reach map 1"


def test_an_old_answer_is_dropped(tmp_path):
  game = _Game(tmp_path, "talk", "heal", config={"most_age_env_steps": 10})
  game.planner.may_answer.clear()
  for _ in range(12):
    game.step(answer=False)
  game.planner.may_answer.set()
  _answered(game.driver)
  assert game.step() is None
  assert game.step() == "heal"
  game.end()


@pytest.mark.parametrize(
  "answer", ["!HTTP status 500", RuntimeError("anything"), "fly away"]
)
def test_a_failure_is_answered_offline_with_one_line(tmp_path, answer):
  game = _Game(tmp_path, answer)
  assert game.step() == "reach map 2"  # interim, and then for good
  assert game.step() is None
  call = game.end().calls[1]
  assert (call["done"], call["answered_by"]) == ("fallback", "offline")
  assert call["fault"]
  assert len(game.log) == 1
  assert "anything" not in game.log[0]  # texts of errors are not ours


def test_after_failures_in_a_row_the_offline_planner_takes_over(tmp_path):
  game = _Game(
    tmp_path,
    *["!HTTP status 500"] * 3,
    "talk",
    config={"rest_env_steps": 40, "most_failures": 3},
  )
  for i in range(40):
    game.step(event_flags=i)
  assert len(game.planner.requests) == 3
  takeovers = [line for line in game.log if "takes over" in line]
  assert len(takeovers) == 1
  assert len(game.log) == 4
  for i in range(40, 60):
    game.step(event_flags=i)
  assert len(game.planner.requests) > 3  # tried again after the rest
  game.end()


def test_a_success_between_failures_counts_them_anew(tmp_path):
  game = _Game(tmp_path, *["!no", "!no", "talk"] * 4)
  for i in range(24):
    game.step(event_flags=i)
  assert not [line for line in game.log if "takes over" in line]
  game.end()


def test_a_hanging_planner_is_given_up_and_never_asked_twice_at_once(
  tmp_path, monkeypatch
):
  monkeypatch.setattr("pokedreamer_jax.planner.caller._GRACE_S", 0.0)
  game = _Game(tmp_path, "talk", "heal", config={"deadline_s": 0.05})
  game.planner.may_answer.clear()
  game.step(answer=False)
  time.sleep(0.06)
  game.step(answer=False)
  assert str(game.driver.goal) == "reach map 2"
  for i in range(10):  # it hangs on: nobody asks it
    game.step(answer=False, event_flags=i)
  assert len(game.planner.requests) == 1
  game.planner.may_answer.set()
  _answered(game.driver)
  # The late answer is thrown away: it is none to the next request either.
  monkeypatch.setattr("pokedreamer_jax.planner.caller._GRACE_S", 60.0)
  game.planner.may_answer.clear()
  game.step(answer=False, event_flags=20)
  game.step(answer=False, event_flags=20)
  assert "talk" not in str(game.driver.goal)
  game.planner.may_answer.set()
  _answered(game.driver)
  assert game.step(answer=False, event_flags=20) == "heal"
  assert len(game.planner.requests) == 2
  calls = [c for c in game.end().calls if c["done"] != "interim"]
  done = [(call["done"], call["fault"]) for call in calls]
  assert done[0] == ("fallback", "no reply within 0.05 s")
  assert set(done[1:-1]) == {("fallback", "the call before is still under way")}
  assert done[-1] == ("applied", "")


def test_budgets_are_kept_and_their_end_is_one_line(tmp_path):
  made = budget.Budget(budget.Limits(calls_a_minute=2), None, clock=lambda: 0.0)
  game = _Game(tmp_path, "talk", "heal", "talk", budget=made)
  for i in range(30):
    game.step(event_flags=i)
    if game.planner.requests and len(game.planner.requests) > made.calls:
      made.take()  # as `LlmPlanner` does for each request
  assert len(game.planner.requests) == 2
  assert len([line for line in game.log if "budget" in line]) == 1
  assert game.driver.goal != goal_specs.NONE
  game.end()


def test_nothing_is_decided_on_the_title_screen(tmp_path):
  game = _Game(tmp_path, "talk")
  for _ in range(5):
    assert game.step(game_running=False) is None
  assert game.planner.requests == []
  game.step()
  assert game.step() == "talk"
  game.end()


def test_what_is_awaited_at_the_end_is_noted(tmp_path):
  game = _Game(tmp_path, "talk")
  game.planner.may_answer.clear()
  game.step(answer=False)
  assert game.planner.asked.acquire(timeout=20)
  found = game.end()
  assert [c["done"] for c in found.calls] == ["interim", "unanswered"]
  assert found.whole
  assert game.planner.is_closed


def _play(made, rows, reached=()):
  """The goals by step."""
  goals = []
  for step, row in enumerate(rows):
    made.step(row, step in reached)
    goals.append(str(made.goal))
  made.close()
  return goals


def _some_game():
  rng = np.random.default_rng(3)
  return [
    games.row(
      map_id=int(rng.integers(1, 4)),
      event_flags=step // 23,
      in_battle=int(step % 17 > 12),
      party_hp=int(rng.integers(3, 20)),
    )
    for step in range(200)
  ]


def _goal_lines(path):
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  kinds = ("call", "lead", "goal", "errand")
  return [line for line in lines if line["kind"] in kinds]


def test_a_trace_plays_the_same_goals_on_the_same_steps(tmp_path):
  rows, reached = _some_game(), {30, 31, 90}
  # A planner whose answers come at odd times, fail and pass.
  game = _Game(tmp_path, *["talk", "!no", "reach map 3", "heal"] * 30)
  goals = []
  for step, row in enumerate(rows):
    game.driver.step(row, step in reached)
    if step % 3 == 0 and game.driver._caller.waits:
      _answered(game.driver)
    goals.append(str(game.driver.goal))
  original = game.end()
  done = {call["done"] for call in original.calls}
  assert done >= {"applied", "fallback", "interim"}
  path = game.path
  for again in ("first", "second"):  # a replay's own trace replays as well
    log = []
    made = driver.Driver(
      games.small_world(),
      _config(),
      replay=replay.Replay(trace.read(path)),
      trace_path=tmp_path / again,
      log=log.append,
    )
    assert _play(made, rows, reached) == goals
    assert log == []
    assert _goal_lines(tmp_path / again) == _goal_lines(game.path)
    path = tmp_path / again


def test_offline_games_are_the_same_and_so_are_their_replays(tmp_path):
  rows = _some_game()

  def offline(name):
    made = driver.Driver(
      games.small_world(), _config(), trace_path=tmp_path / name
    )
    return _play(made, rows, {50})

  assert offline("a") == offline("b")
  same = [_goal_lines(tmp_path / name) for name in ("a", "b")]
  assert same[0] == same[1]
  made = driver.Driver(
    games.small_world(), replay=replay.Replay(trace.read(tmp_path / "a"))
  )
  assert _play(made, rows, {50}) == offline("c")


def test_a_replay_says_where_the_game_is_another_one(tmp_path):
  rows = _some_game()
  made = driver.Driver(games.small_world(), trace_path=tmp_path / "a")
  _play(made, rows)
  log = []
  other = [games.row(**{"map_id": 2, "y": 9}) for _ in rows]
  made = driver.Driver(
    games.small_world(),
    replay=replay.Replay(trace.read(tmp_path / "a")),
    log=log.append,
  )
  _play(made, other)
  assert len(log) == 1
  assert "the game differs from its trace at env step 0" in log[0]


def _as_of_before(path, rows, fields):
  """The trace of a game as an older version wrote it: calls alone, no more."""
  followed = progress.Progress()
  states = [followed.update(row).state for row in rows]
  lines = []
  for text in path.read_text().splitlines():
    line = json.loads(text)
    line.pop("state_fields", None)
    if line["kind"] in ("lead", "errand"):
      continue
    if line["kind"] == "call":
      # What was pursued was named by the planner itself.
      line["reply"]["goal"] = line.pop("pursued")
      line["reply"].pop("at", None)
      state = states[line["asked_step"]]
      line["state_sha256"] = requests.state_digest(state, fields)
    lines.append(json.dumps(line))
  path.write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize(
  ("without", "remarks"),
  [((), 0), (("enemy_species", "enemy_is_new"), 0), (("money",), 1)],
)
def test_an_older_trace_plays_again_and_says_nothing_false(
  tmp_path, without, remarks
):
  rows = [games.row(event_flags=i // 23) for i in range(200)]
  made = driver.Driver(games.small_world(), trace_path=tmp_path / "a")
  goals = _play(made, rows)
  fields = [name for name in requests.STATE_FIELDS if name not in without]
  _as_of_before(tmp_path / "a", rows, fields)
  path = tmp_path / "a"
  for again in ("b", "c"):  # and so does the trace of that
    log = []
    made = driver.Driver(
      games.small_world(),
      replay=replay.Replay(trace.read(path)),
      trace_path=tmp_path / again,
      log=log.append,
    )
    assert _play(made, rows) == goals
    assert len(log) == remarks
    path = tmp_path / again


def test_a_cut_trace_replays_as_far_as_it_goes_and_says_so(tmp_path):
  rows = _some_game()
  made = driver.Driver(games.small_world(), trace_path=tmp_path / "a")
  goals = _play(made, rows)
  lines = (tmp_path / "a").read_bytes().split(b"\n")
  (tmp_path / "b").write_bytes(b"\n".join(lines[: len(lines) // 2]) + b"\n{")
  cut = trace.read(tmp_path / "b")
  last = max(call["done_step"] for call in cut.calls)
  log = []
  made = driver.Driver(
    games.small_world(), replay=replay.Replay(cut), log=log.append
  )
  assert _play(made, rows)[: last + 1] == goals[: last + 1]
  assert len([line for line in log if "was cut after" in line]) == 1


def test_settings_are_checked():
  with pytest.raises(ValueError, match=r"driver.deadline_s: 0"):
    driver.DriverConfig(deadline_s=0)
  with pytest.raises(ValueError, match=r"driver.most_failures: 0"):
    driver.DriverConfig(most_failures=0)
  game = trace.Trace({}, (), "", True)
  with pytest.raises(ValueError, match="expected one"):
    driver.Driver(
      games.small_world(), planner=games.Told(), replay=replay.Replay(game)
    )


def test_a_goal_that_ends_where_the_player_stands_still_led_nowhere():
  settings = triggers.TriggerConfig(still_env_steps=5)
  config = driver.DriverConfig(triggers=settings)
  made = driver.Driver(games.small_world(), config)
  for _ in range(12):
    made.step(games.row(x=2, y=0))
  outcomes = made.summary()["outcomes"]
  assert outcomes["map"]["stagnant"] == 1
