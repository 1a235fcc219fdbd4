"""One game of both systems, from its first row to its page.

What a game leaves in its run directory is written here: trace, record, film,
page and result. A game that is ended early leaves all of that, too.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import os
import signal
import time
from typing import Any

import numpy as np

from data_tools.records import episodes
from data_tools.records import start_mix
from experiments.playing import agent_tally
from experiments.playing import dual_agent
from experiments.playing import game_record
from experiments.playing import planners
from experiments.playing import play_episodes
from experiments.reports import agent_page
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.planner import costs
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import trace as trace_lib

TRACE, PAGE, FILM = "trace.jsonl", "game.html", "game.mp4"
_GAME_FRAMES_PER_S = 59.7275
_EXIT_DIED = 1

# (frame [144, 40], name -> what is told of the game)
Show = Callable[[np.ndarray, Mapping[str, Any]], None]


@dataclasses.dataclass(frozen=True)
class Game:
  """Everything that decides a game, checked."""

  choice: planners.Choice
  knowledge: knowledge_lib.Knowledge
  setting: play_episodes.Setting  # one seed
  about: Mapping[str, Any]  # for its trace
  collection: episodes.Collection  # for its record
  realtime: bool  # as fast as the game itself, else as fast as it goes
  began_s: float  # of the monotonic clock, when the command was given

  def to_json(self) -> dict[str, Any]:
    """What decides it beside `about`; holds no key."""
    return {
      "planner": self.choice.to_json(),
      "knowledge_sha256": self.knowledge.sha256,
      "realtime": self.realtime,
    }


def play(
  run: run_directory.Run,
  agent: Any,
  critic: Any,
  game: Game,
  show: Show,
  quiet: bool = False,
) -> int:
  """Plays to the end, or until it is stopped, and writes what there is.

  Args:
    run: whose directory is new.
    agent: an `experiments.runs.inputs.Agent`.
    critic: of its policy, or None.
    game: which.
    show: called with each row.
    quiet: no progress on the screen.

  Returns:
    The exit code: 0, 128 and a signal, or 1 where the emulator died.

  Raises:
    OSError: the disk is full, or another.
  """
  from data_tools.envs import vector

  rom, setting, drivers = game.setting.rom, game.setting, []
  if setting.save_state is not None:
    states = {game.collection.start_state_sha1: setting.save_state}
    start_mix.keep(run.path, states, rom.sha1)
  if game.choice.gives_goals:
    made = planners.make(
      *(game.choice, game.knowledge, rom.map_names, run.path / TRACE),
      *(game.about, run.log),
    )
    drivers.append(made)
  greedy = bool(game.about["greedy"])
  dual = dual_agent.DualAgent(agent, drivers, setting.seeds, greedy, critic)
  tally = agent_tally.Tally(1, setting.length)
  recorder = game_record.Recorder(run.path, game.collection)
  film = _Film(game)
  ended_by, code, first_s = "its last env step", 0, 0.0
  try:
    with _progress(setting.length, quiet) as bar:
      for step in dual_agent.play(dual, setting, _pace(game.realtime)):
        if not step.t:
          first_s = time.monotonic() - game.began_s
          run.log(f"agent: first decision after {first_s:.1f} s")
        goal = step.decision.goals[0]
        row = {name: array[0] for name, array in step.row.items()}
        recorder.add(row, int(step.decision.actions[0]))
        tally.add(step)
        film.add(step.t, row, goal)
        badges = int(row["badges"]).bit_count()
        told = {"env step": step.t, "goal": str(goal), "badges": badges}
        show(row["frame"], told)
        bar.update(step.t + 1, badges=badges, goal=str(goal))
        if row["is_terminal"]:
          ended_by = "the end of the game"
        if run.stop_requested:
          code = 128 + run.stop_signal
          ended_by = signal.Signals(run.stop_signal).name
          break
  except vector.Died as error:
    ended_by, code = str(error), _EXIT_DIED
  except BaseException:
    recorder.abandon()
    raise
  finally:
    for made in drivers:
      made.close()
  recorder.close()
  played = tally.played(recorder.steps)
  summary = drivers[0].summary() if drivers else {}
  result = _result(game, summary, tally, played)
  result |= {"ended_by": ended_by, "first_decision_s": round(first_s, 2)}
  path = run.path / TRACE
  trace = trace_lib.read(path) if path.exists() else None
  if trace is not None:
    result["planner"]["at_prices_of"] = costs.of_trace(trace)
  _write(run, game, result, played, film, trace)
  run.finish(result)
  run.log(_closing(result, run))
  return code


def _progress(total: int, quiet: bool) -> Any:
  """A bar; one that nobody sees where something else is on the screen."""
  stack = contextlib.ExitStack()
  stream = None
  if quiet:
    stream = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
  bar = progress.Progress("agent", total, "env steps", stream=stream)

  @contextlib.contextmanager
  def shown():
    with stack, bar:
      bar.compiling(about_s=10)
      yield bar

  return shown()


def _pace(realtime: bool) -> Callable[[], None]:
  """Waits for the game's own time, where it is asked for."""
  if not realtime:
    return lambda: None
  each_s = specs.STEP_FRAMES / _GAME_FRAMES_PER_S
  next_s = time.monotonic()

  def wait() -> None:
    nonlocal next_s
    # What was late is not caught up with.
    next_s = max(next_s + each_s, time.monotonic())
    time.sleep(max(0.0, next_s - time.monotonic()))

  return wait


class _Film:
  """Keeps some frames of a game, with what is said below them."""

  def __init__(self, game: Game):
    self._every = -(-game.setting.length // agent_page.MOST_FRAMES)
    self._names = game.setting.rom.map_names
    self.frames: dict[int, np.ndarray] = {}
    self.captions: dict[int, str] = {}

  def add(
    self, t: int, row: Mapping[str, np.ndarray], goal: goal_specs.Goal
  ) -> None:
    """Takes a row, if it is one of those shown."""
    if t % self._every:
      return
    map_id = int(row["map_id"])
    place = self._names.get(map_id, f"map {map_id}").replace("_", " ")
    badges = int(row["badges"]).bit_count()
    self.frames[t] = row["frame"].copy()
    self.captions[t] = f"{t} {place}, badges {badges}: {goal}"


def _result(
  game: Game,
  summary: Mapping[str, Any],
  tally: agent_tally.Tally,
  played: play_episodes.Played,
) -> dict[str, Any]:
  """JSON-ready numbers of the game."""
  weights = specs.REWARD_WEIGHTS["published"]
  measured = play_episodes.measure(played, weights)
  measures: dict[str, Any] = {n: float(v[0]) for n, v in measured.items()}
  first = int(play_episodes.badge_steps(played)[0])
  measures["first_badge"] = first if measures["with_badge"] else None
  planner: dict[str, Any] = {
    "calls": 0,
    "cost_usd": 0.0,
    "tokens_in": 0,
    "tokens_out": 0,
  }
  planner |= {"asked": {}, "done": {}, "outcomes": {}, **summary}
  kinds = planner["outcomes"].values()
  rom = game.setting.rom
  return {
    "env_steps": int(played.steps[0]),
    "rom": {"name": rom.name, "sha1": rom.sha1},
    "share_with_goal": float(tally.with_goal[0] / max(1, tally.running[0])),
    "game": measures,
    "planner": {
      "name": game.choice.name,
      **planner,
      "asks": sum(planner["asked"].values()),
      "ended": sum(sum(outcomes.values()) for outcomes in kinds),
      "reached": sum(outcomes.get("reached", 0) for outcomes in kinds),
    },
    "times": tally.times(),
    "collection": game.collection.digest,
  }


def _write(run, game: Game, result, played, film: _Film, trace) -> None:
  """Film and page, as far as that is possible; the log says what is not."""
  rom, clip = game.setting.rom, None
  try:
    clip = agent_page.film(
      run.path / FILM, film.frames, film.captions, rom.name
    )
  except (OSError, ValueError) as error:
    run.log(f"No film of the game: {error}")
  try:
    agent_page.write(run.path / PAGE, result, played, trace, rom, clip)
  except OSError as error:
    run.log(f"No page of the game: {error}")


def _closing(result: Mapping[str, Any], run: run_directory.Run) -> str:
  planner, game = result["planner"], result["game"]
  return (
    f"agent: {result['env_steps']} env steps, ended by {result['ended_by']}: "
    f"{game['badges']:.0f} badges, {game['maps']:.0f} maps, "
    f"{planner['reached']} of {planner['ended']} goals reached; see "
    f"{run.path / PAGE}"
  )
