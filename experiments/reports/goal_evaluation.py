"""`evaluate --what=goals`: whether policies do what they are told."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.playing import entering
from experiments.playing import goal_cases
from experiments.playing import goal_episodes
from experiments.reports import goal_tables
from experiments.runs import inputs
from experiments.runs import progress
from pokedreamer_jax.config import run as config_lib


def dreams(config: config_lib.Config) -> bool:
  """Whether agents need their whole world model, not what acts alone."""
  return config.evaluate.goal_dreams > 0


def check(directory: str) -> None:
  """Raises ValueError where the policy in a run directory reads no goals."""
  if not inputs.load_config(directory).actor_critic.reads_goal:
    raise ValueError(
      f"{directory}: actor_critic.reads_goal False: it was not trained under "
      "goals, expected a clone or policy of --set=actor_critic.reads_goal=true"
    )


def measure(
  config: config_lib.Config,
  rom: Any,
  generation: Any,
  agents: Mapping[str, inputs.Agent],
) -> dict[str, Any]:
  """Plays cases of held-out episodes under the right goal, another, and none.

  Args:
    config: gives `evaluate`, `goals.kinds` and the seed.
    rom: a `data_tools.game.roms.Rom`, of the recording.
    generation: whose held-out episodes give the cases.
    agents: by name.

  Raises:
    ValueError: no held-out episode reaches any of the goals.
  """
  from data_tools.records import loader

  evaluate = config.evaluate
  index = loader.EpisodeIndex(generation, "val")
  places = entering.places(index, config.collect.jitter_frames)
  cases = goal_cases.choose(
    index,
    places,
    config.goals.kind_weights,
    evaluate.goal_cases,
    evaluate.goal_horizon,
    evaluate.goal_limit,
    evaluate.goal_most_row,
    np.random.default_rng([config.seed, 0x60A15]),
  )
  if not cases:
    raise ValueError(
      f"goals.kinds: {config.goals.kinds!r}, the {len(index)} held-out "
      f"episodes reach none of them in their first {evaluate.goal_most_row} "
      "rows (evaluate.goal_most_row)"
    )
  setting = entering.Setting(
    rom=rom,
    index=index,
    jitter_frames=config.collect.jitter_frames,
    limit=evaluate.goal_limit,
    workers=config.collect.workers,
  )
  result: dict[str, Any] = {
    "rom": {"name": rom.name, "sha1": rom.sha1},
    "limit": evaluate.goal_limit,
    "horizon": evaluate.goal_horizon,
    "episodes": len(places),
    "recorded_otherwise": len(index) - len(places),  # and so left out
    "players": {},
    "cases": [],
  }
  reached, ends = {}, {}
  groups = np.array([case.place for case in cases])
  for name, agent in agents.items():
    with progress.Progress(f"goals: {name}", len(cases), "cases") as bar:
      bar.compiling(about_s=10)
      told = lambda done, _, bar=bar: bar.update(done)
      ends[name] = goal_episodes.play(
        *(agent, cases, setting, config.seed, evaluate.greedy, told),
        evaluate.goal_dreams,
        evaluate.goal_games,
      )
    reached[name] = ends[name].reached
    result["players"][name] = goal_tables.measure(
      [case.label for case in cases],
      groups,
      reached[name],
      evaluate.bootstrap,
      ends[name].dreamt,
    )
  if evaluate.goal_dreams:
    result["dreams"] = held_against_games(ends, groups, evaluate.bootstrap)
  for number, case in enumerate(cases):
    result["cases"].append(
      {
        "episode": index.headers[case.place].episode_id,
        "row": case.row,
        "goal": str(case.goal),
        "off_way": case.off_way,
        "recorded": case.env_steps,
        "other": str(case.other),
        "reached": {n: steps[number].tolist() for n, steps in reached.items()},
      }
    )
    if evaluate.goal_dreams:
      result["cases"][-1]["dreamt"] = {
        name: float(end.dreamt[number])
        for name, end in ends.items()
        if end.dreamt is not None
      }
  return result


def held_against_games(
  ends: Mapping[str, goal_episodes.Ends], groups: np.ndarray, draws: int
) -> dict[str, Any]:
  """How dreams and games agree, and what of a gain in dreams is real."""
  from pokedreamer_jax.evaluation import honesty

  pairs = {
    name: (end.dreamt, end.games.astype(float))
    for name, end in ends.items()
    if end.dreamt is not None
  }
  found: dict[str, Any] = {"players": {}, "gains": {}}
  for name, (dreamt, real) in pairs.items():
    found["players"][name] = honesty.agreement(
      dreamt[:, None], real, groups, draws
    )
  (first, start), *others = pairs.items()
  if len(set(groups.tolist())) < 2:  # no interval
    return found
  for name, end in others:
    found["gains"][f"{name} - {first}"] = honesty.realised(
      end[0] - start[0], (end[1] - start[1]).mean(axis=1), groups, draws
    )
  return found
