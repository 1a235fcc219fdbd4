"""Dreams judged beside the game (`evaluate --what=blind`)."""

import pathlib

from experiments.evaluating import asked as asked_lib
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib


def evaluate(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """Whether somebody who knows the game tells dreams from it."""
  from data_tools.game import roms
  from experiments.playing import play_episodes
  from experiments.reports import blind_evaluation
  from experiments.reports import blind_tables

  directory, agent = _whose_dreams(asked)
  config = inputs.with_world_model(config, directory, agent)
  rom = roms.resolve(asked.rom)
  inputs.check_rom(directory, rom, asked.other_rom)
  step = asked.step(directory)
  generation = inputs.open_generation(
    cli.required("data_dir"), pathlib.Path(directory)
  )
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_blind",
    {
      "seed": config.seed,
      "evaluate": asked_lib.measured(config),
      "generation": generation.digest,
      "rom": rom.sha1,
      "world_model": inputs.fingerprint(directory, step),
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      item = "world_model" if agent else "params"
      params = inputs.load_item(directory, item, step)
      parts = blind_evaluation.PARTS
      with (
        progress.Progress("real or dreamt", parts, "parts") as bar,
        play_episodes.dying_is_told(),
      ):
        done = iter(range(1, parts + 1))

        def told(part: str) -> None:
          bar.update(next(done))
          bar.phase(part, about_s=60)

        result = blind_evaluation.measure(
          config, params, generation, rom, run.path, told
        )
      run.finish(result)
    result = run.result
    asked_lib.show(
      run, blind_tables.tables(result), verdicts=blind_tables.verdicts(result)
    )


def _whose_dreams(asked: asked_lib.Asked) -> tuple[str, bool]:
  """The run directory whose world model dreams, and whether of an agent.

  Raises:
    ValueError: none is given, or more than one.
  """
  players = asked.named_players() if asked.players else {}
  if not players:
    return cli.required("world_model"), False
  if asked.world_model or len(players) > 1 or not all(players.values()):
    raise ValueError(
      f"--player={','.join(asked.players)}: expected one NAME=DIR, or "
      "--world_model=DIR"
    )
  return next(iter(players.values())), True
