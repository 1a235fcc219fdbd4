"""Policies measured from recorded rows: goals, honest dreams, long dreams."""

import pathlib
from typing import Any

from experiments.evaluating import asked as asked_lib
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib


def evaluate_goals(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """Whether policies reach the goals that they are told."""
  from experiments.reports import goal_evaluation
  from experiments.reports import goal_tables

  decides = {"goals": config_lib.to_dict(config.goals)}
  _enter_rows(config, asked, "goals", goal_evaluation, goal_tables, decides)


def evaluate_dreams(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """What dreams promise, held against what the game pays."""
  from experiments.reports import honesty_evaluation
  from experiments.reports import honesty_tables

  _enter_rows(config, asked, "dreams", honesty_evaluation, honesty_tables, {})


def evaluate_long_dream(
  config: config_lib.Config, asked: asked_lib.Asked
) -> None:
  """Whether long dreams keep what was seen."""
  from experiments.reports import long_dream_evaluation
  from experiments.reports import long_dream_tables

  part = long_dream_evaluation.Part(cli.workdir())
  _enter_rows(config, asked, "long_dream", part, long_dream_tables, {})


def _enter_rows(
  config: config_lib.Config,
  asked: asked_lib.Asked,
  what: str,
  part: Any,
  shown: Any,
  decides: dict[str, Any],
) -> None:
  """Measures policies in games entered at recorded rows of held-out episodes.

  Args:
    config: of the measurement.
    asked: the flags.
    what: its name.
    part: a module or an object with `check(directory)`, `measure(config, rom,
      generation, agents)`, and `dreams(config)`, whether agents need their
      whole world model.
    shown: a module with `tables(result)` and `verdicts(result)`.
    decides: of the configuration, what decides it beside `evaluate`.
  """
  from data_tools.game import roms
  from experiments.playing import play_episodes

  rom = roms.resolve(asked.rom)
  players = asked.named_players()
  for name, directory in players.items():
    if not directory:
      raise ValueError(
        f"--player={name}: a scripted player has no {what}, expected NAME=DIR"
      )
    inputs.check_kind(directory, agent=True)
    inputs.check_rom(directory, rom, asked.other_rom)
    part.check(directory)
  first = next(iter(players.values()))
  digests = {
    directory: run_directory.read_config(directory).get("generation")
    for directory in players.values()
  }
  if len(set(digests.values())) > 1:
    raise ValueError(
      "--player: of different generations, so that what one has never seen "
      f"another may have learned from: {digests}; expected one"
    )
  data_dir = cli.required("data_dir")
  generation = inputs.open_generation(data_dir, pathlib.Path(first))
  run = run_directory.open_run(
    cli.workdir(),
    f"evaluate_{what}",
    {
      "seed": config.seed,
      "evaluate": asked_lib.measured(config),
      "jitter_frames": config.collect.jitter_frames,
      **decides,
      "generation": generation.digest,
      "rom": rom.sha1,
      "players": {
        name: inputs.fingerprint(directory, asked.step(directory))
        for name, directory in players.items()
      },
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      load = inputs.load_agent if part.dreams(config) else inputs.load_player
      agents = {n: load(d, asked.step(d)) for n, d in players.items()}
      with play_episodes.dying_is_told():
        result = part.measure(config, rom, generation, agents)
      run.finish(result)
    tables, verdicts = shown.tables(run.result), shown.verdicts(run.result)
    asked_lib.show(run, tables, verdicts=verdicts)
