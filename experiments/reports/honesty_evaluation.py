"""`evaluate --what=dreams`: what dreams promise, against what the game pays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.playing import dream_cases
from experiments.playing import dream_episodes
from experiments.playing import entering
from experiments.runs import inputs
from experiments.runs import progress
from pokedreamer_jax.config import run as config_lib


def dreams(config: config_lib.Config) -> bool:
  """Whether agents need their whole world model: whatever is asked."""
  del config
  return True


def check(directory: str) -> None:
  """Raises ValueError where dreams of a run directory pay no objective."""
  config = inputs.load_config(directory)
  config.world_model.check_reward_terms()
  if config.policy.only_term:
    raise ValueError(
      f"{directory}: policy.only_term {config.policy.only_term!r}, games are "
      "paid the whole objective, expected ''"
    )


def measure(
  config: config_lib.Config,
  rom: Any,
  generation: Any,
  agents: Mapping[str, inputs.Agent],
) -> dict[str, Any]:
  """Plays and dreams on from rows of held-out episodes.

  Args:
    config: gives `evaluate` and the seed.
    rom: a `data_tools.game.roms.Rom`, of the recording.
    generation: whose held-out episodes give the starts.
    agents: by name; gains are over the first of them.

  Raises:
    ValueError: fewer than two starts, or they cannot be entered.
  """
  from data_tools.records import loader
  from pokedreamer_jax.evaluation import honesty

  evaluate = config.evaluate
  index = loader.EpisodeIndex(generation, "val")
  cases = dream_cases.choose(
    index,
    entering.places(index, config.collect.jitter_frames),
    evaluate.dream_starts,
    evaluate.dream_steps,
    evaluate.dream_most_row,
    np.random.default_rng([config.seed, 0xD0E5]),
  )
  if len(cases) < 2:
    raise ValueError(
      f"evaluate.dream_starts: {len(cases)} rows of {len(index)} held-out "
      "episodes can be entered, expected at least 2"
    )
  setting = entering.Setting(
    rom=rom,
    index=index,
    jitter_frames=config.collect.jitter_frames,
    limit=evaluate.dream_steps,
    workers=config.collect.workers,
  )
  groups = np.array([case.entry.place for case in cases])
  result: dict[str, Any] = {
    "rom": {"name": rom.name, "sha1": rom.sha1},
    "starts": len(cases),
    "episodes": len(set(groups.tolist())),
    "steps": evaluate.dream_steps,
    "plays": evaluate.dream_plays,
    "dreams": evaluate.dream_plays * evaluate.dream_samples,
    "players": {},
    "gains": {},
    "cases": [
      {
        "episode": index.headers[case.entry.place].episode_id,
        "row": case.entry.row,
        "before": case.before,
        "dreamt": {},
        "real": {},
      }
      for case in cases
    ],
  }
  anywhere = np.array([case.before == dream_cases.ANYWHERE for case in cases])
  means = {}
  for name, agent in agents.items():
    with progress.Progress(f"dreams: {name}", len(cases), "starts") as bar:
      bar.compiling(about_s=20)
      told = lambda done, _, bar=bar: bar.update(done)
      ends = dream_episodes.play(
        agent,
        cases,
        setting,
        evaluate.dream_plays,
        evaluate.dream_samples,
        config.seed,
        evaluate.greedy,
        told,
      )
    means[name] = ends.dreamt.mean(axis=1), ends.real.mean(axis=1)
    result["players"][name] = {
      "reward": agent.config.policy.objective_name,
      "returns": {
        where: honesty.agreement(
          ends.dreamt[mine], ends.real[mine], groups[mine], evaluate.bootstrap
        )
        for where, mine in (
          ("all", np.full(len(cases), True)),
          (dream_cases.ANYWHERE, anywhere),
        )
        if mine.any()
      },
      "events": {
        kind: honesty.event_agreement(
          ends.dreamt_events[..., k], ends.real_events[..., k]
        )
        for k, kind in enumerate(honesty.KINDS)
      },
    }
    for number, case in enumerate(result["cases"]):
      case["dreamt"][name] = float(means[name][0][number])
      case["real"][name] = float(means[name][1][number])
  (first, start), *others = means.items()
  for name, end in others:
    result["gains"][f"{name} - {first}"] = honesty.realised(
      end[0] - start[0], end[1] - start[1], groups, evaluate.bootstrap
    )
  return result
