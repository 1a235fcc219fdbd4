"""What is kept of games that are played: numbers a row, never all frames."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from experiments.playing import dual_agent
from experiments.playing import play_episodes
from experiments.playing import play_traces
from pokedreamer_jax import specs
from pokedreamer_jax.planner import knowledge as knowledge_lib

_MAP_BYTES = 32  # one bit for each of 256 maps
_TRAINER = specs.REWARD_TERMS.index("trainer_wins")


class Tally:
  """Takes the steps of `N` games of at most `T` rows; about 40 bytes a row."""

  def __init__(
    self,
    games: int,
    length: int,
    milestones: Sequence[knowledge_lib.Milestone] = (),
  ):
    """Nothing is played yet.

    Args:
      games: `N`.
      length: `T`.
      milestones: what is looked for, `M`.
    """
    self._terms = np.zeros((games, length, specs.NUM_REWARD_TERMS), np.float32)
    self._steps = np.zeros(games, np.int64)
    self._beaten = np.zeros(games, bool)
    self._visited = np.zeros((games, _MAP_BYTES), np.uint8)
    self._traces = play_traces.blank(games, length)
    self.milestones = tuple(milestones)
    self._trainers = np.zeros(games, np.int64)
    # Env step on which each was reached, -1 before.
    self.reached_at = np.full((len(self.milestones), games), -1, np.int64)
    self.running = np.zeros(games, np.int64)  # rows off the title screen
    self.with_goal = np.zeros(games, np.int64)  # of these, with a goal
    self.planner_ms: list[float] = []  # of each decision
    self.policy_ms: list[float] = []

  @property
  def steps(self) -> np.ndarray:
    """Rows played so far `[N]`."""
    return self._steps

  def add(self, step: dual_agent.Step) -> None:
    """Takes a row of the games that are still playing."""
    row, on, t = step.row, step.playing, step.t
    self._terms[on, t] = row["reward_terms"][on]
    self._steps += on
    self._beaten |= on & row["is_terminal"]
    self._visited[on] |= row["visited_maps"][on]
    fields = {name: row[name][on] for name in play_traces.FIELDS}
    play_traces.put(self._traces, (np.flatnonzero(on), t), fields)
    pressed = on & ~row["is_last"]
    self._traces.action[pressed, t] = step.decision.actions[pressed]
    runs = on & row["game_running"]
    pursues = [goal != dual_agent.NONE for goal in step.decision.goals]
    self.running += runs
    self.with_goal += runs & np.array(pursues)
    self.planner_ms.append(1e3 * step.decision.planner_s)
    self.policy_ms.append(1e3 * step.decision.policy_s)
    self._trainers += np.where(on, row["reward_terms"][:, _TRAINER] > 0, False)
    self._look(row, runs, t)

  def _look(self, row: Any, runs: np.ndarray, t: int) -> None:
    for number, milestone in enumerate(self.milestones):
      at = self.reached_at[number]
      open_ = runs & (at < 0)
      if open_.any():
        at[open_ & self._holds(row, milestone)] = t

  def _holds(self, row: Any, milestone: knowledge_lib.Milestone) -> np.ndarray:
    """Whether a game has a milestone behind it, as its state tells, `[N]`."""
    goal, number = milestone.goal, milestone.goal.number or 0
    match goal.kind:
      case "badge":
        return (row["badges"] >> number & 1).astype(bool)
      case "map":
        return row["map_id"] == goal.map_id
      case "level":
        return row["party_level"][:, 0] >= number
      case "own":
        return row["dex_owned"] >= number
      case "story":
        return row["event_flags"] >= milestone.nth
      case "item":
        return row["capture_items"] > 0
      case "win_trainer":
        return self._trainers >= milestone.nth
    return np.zeros(len(self._steps), bool)

  def played(self, length: int | None = None) -> play_episodes.Played:
    """The games, for `play_episodes.measure` and what goes with it.

    Args:
      length: rows that are kept, where fewer were played than asked for.
    """
    rows = slice(length)
    traces = {
      field.name: getattr(self._traces, field.name)[:, rows]
      for field in dataclasses.fields(self._traces)
    }
    return play_episodes.Played(
      self._terms[:, rows],
      self._steps,
      self._beaten,
      self._visited,
      play_traces.Traces(**traces),
    )

  def times(self) -> dict[str, Any]:
    """JSON-ready: how long decisions took, in milliseconds.

    The first ones, which compile, are left out.
    """
    planner = np.array(self.planner_ms[_WARM_UP:] or [0.0])
    whole = planner + np.array(self.policy_ms[_WARM_UP:] or [0.0])
    return {
      "decisions": len(self.planner_ms),
      "p50_ms": float(np.percentile(whole, 50)),
      "p99_ms": float(np.percentile(whole, 99)),
      "planner_p99_ms": float(np.percentile(planner, 99)),
      "planner_most_ms": float(planner.max()),
    }


_WARM_UP = 20
