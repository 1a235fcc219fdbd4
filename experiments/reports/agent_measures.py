"""Numbers of games under planners: how far, by which goals, at how many calls.

Games of different planners are paired by their seeds.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.playing import agent_tally
from experiments.playing import play_episodes
from pokedreamer_jax import specs
from pokedreamer_jax.world_model import statistics

NONE = "none"  # no planner
# Reasons to ask that are events of the game; the others are its silence.
EVENTS = ("start", "reached", "progress", "area", "meets", "battle")
PER_ENV_STEPS = 500
# Measures of an episode that are compared, beside the steps to badges.
COMPARED = ("badges", "maps", "cells", "trainer_wins", "species", "stuck")
_WEIGHTS = specs.REWARD_WEIGHTS["published"]
_BADGES = specs.REWARD_TERMS.index("badges")


def of_planner(
  tally: agent_tally.Tally,
  summaries: Sequence[Mapping[str, Any]],
  played: play_episodes.Played,
  draws: int,
) -> dict[str, Any]:
  """Numbers of one planner, JSON-ready."""
  measured = play_episodes.measure(played, _WEIGHTS)
  running = int(tally.running.sum())
  asked = _sum(summary["asked"] for summary in summaries)
  silence = sum(n for why, n in asked.items() if why not in EVENTS)
  calls = sum(summary["calls"] for summary in summaries)
  costs = [summary["cost_usd"] for summary in summaries]
  each = PER_ENV_STEPS / max(1, running)
  return {
    "measures": {
      key: _interval(measured[key], draws) for key in (*COMPARED, "return")
    },
    "by_game": {key: measured[key].tolist() for key in COMPARED},
    "badges": badges(played),
    "milestones": _milestones(tally),
    "kinds": _kinds(summaries, "outcomes"),
    "errands": _kinds(summaries, "errands"),
    "asked": asked,
    "done": _sum(summary["done"] for summary in summaries),
    "asks_per_500": each * sum(asked.values()),
    "asks_beyond_events_per_500": each * silence,
    "led": (led := _sum(summary["led"] for summary in summaries)),
    "led_per_500": each * sum(led.values()),
    "calls_per_500": each * calls,
    "calls": calls,
    "tokens_in": sum(summary["tokens_in"] for summary in summaries),
    "tokens_out": sum(summary["tokens_out"] for summary in summaries),
    "cost_usd": None if None in costs else sum(costs),
    "share_with_goal": float(tally.with_goal.sum() / max(1, running)),
    "running_env_steps": running,
    "times": tally.times(),
  }


def badges(played: play_episodes.Played) -> list[dict[str, Any]]:
  """Steps to the kth badge: of each game, None where it never was earned."""
  earned = np.cumsum(played.reward_terms[..., _BADGES], axis=1)
  return [
    {"goal": f"badge {k}", **_reached(_first(earned >= k))}
    for k in range(1, int(earned.max()) + 1)
  ]


def badge_steps(played: play_episodes.Played, k: int) -> np.ndarray:
  """Steps to the kth badge `[N]`; as many as there are without it."""
  earned = np.cumsum(played.reward_terms[..., _BADGES], axis=1) >= k
  first = _first(earned)
  return np.where(first < 0, earned.shape[1], first)


def gains(
  ours: play_episodes.Played, none: play_episodes.Played, draws: int
) -> dict[str, Any]:
  """What a planner gained over none, game by game.

  Returns:
    JSON-ready: of `COMPARED` the mean differences with intervals; `to_badges`,
    for each number of badges that anybody earned the difference of steps, the
    ratio of mean steps, and how many games got there. Steps of games without
    it count as all there are.
  """
  mine, theirs = (play_episodes.measure(p, _WEIGHTS) for p in (ours, none))
  most = max(
    int(p.reward_terms[..., _BADGES].sum(axis=1).max()) for p in (ours, none)
  )
  length = none.reward_terms.shape[1]
  rows = []
  for k in range(1, most + 1):
    with_it, without = badge_steps(ours, k), badge_steps(none, k)
    rows.append(
      {
        "badge": k,
        "games": int((with_it < length).sum()),
        "games_none": int((without < length).sum()),
        "steps": _interval(with_it - without, draws),
        "ratio": ratio(with_it, without, draws),
      }
    )
  return {
    "to_badges": rows,
    **{key: _interval(mine[key] - theirs[key], draws) for key in COMPARED},
  }


def ratio(
  ours: np.ndarray, theirs: np.ndarray, draws: int, seed: int = 0
) -> dict[str, float]:
  """Ratio of means of paired values `[N]`, with its 95 % bootstrap interval."""
  rng = np.random.default_rng(seed)
  index = rng.integers(len(ours), size=(draws, len(ours)))
  drawn = ours[index].mean(axis=1) / np.maximum(theirs[index].mean(axis=1), 1)
  low, high = np.percentile(drawn, [2.5, 97.5])
  mean = float(ours.mean() / max(theirs.mean(), 1))
  return {"mean": mean, "low": float(low), "high": float(high)}


def _first(holds: np.ndarray) -> np.ndarray:
  """First step `[N]` on which `[N, T]` holds, -1 for never."""
  return np.where(holds.any(axis=1), holds.argmax(axis=1), -1)


def _reached(at: np.ndarray) -> dict[str, Any]:
  """Of steps `[N]`, -1 for never: each, the share, and the median."""
  there = at[at >= 0]
  return {
    "at": [None if step < 0 else step for step in at.tolist()],
    "share": float((at >= 0).mean()),
    "median": float(np.median(there)) if len(there) else None,
  }


def _milestones(tally: agent_tally.Tally) -> list[dict[str, Any]]:
  """Of those that demonstrations had, in their order."""
  return [
    {
      "goal": str(milestone.goal),
      "nth": milestone.nth,
      "shown_at": milestone.env_steps,
      **_reached(at),
    }
    for milestone, at in zip(tally.milestones, tally.reached_at, strict=True)
  ]


def _kinds(summaries: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
  """Outcomes of goals or errands by their kind, of all games together."""
  kinds = sorted({kind for summary in summaries for kind in summary[name]})
  return {
    kind: _sum(summary[name].get(kind, {}) for summary in summaries)
    for kind in kinds
  }


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
  total: Counter[str] = Counter()
  for one in counts:
    total.update(one)
  return dict(sorted(total.items()))


def _interval(values: np.ndarray, draws: int) -> dict[str, float]:
  return statistics.bootstrap_mean(values, draws)
