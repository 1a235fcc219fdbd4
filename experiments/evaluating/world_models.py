"""A world model measured by its dreams (`evaluate --what=world_model`)."""

from collections.abc import Sequence
import pathlib
from typing import Any

from experiments.evaluating import asked as asked_lib
from experiments.reports import dream_tables
from experiments.reports import summary
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib


def evaluate(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """Measures the dreams of a world model through held-out windows."""
  directory = cli.required("world_model")
  config = inputs.with_ram(
    inputs.with_world_model(config, directory), asked.ram
  )
  config = inputs.with_left_out(config, directory)
  step = asked.step(directory)
  # The generation that it was trained on: its held-out episodes are unseen.
  data_dir = cli.required("data_dir")
  generation = inputs.open_generation(data_dir, pathlib.Path(directory))
  trained = training_episodes(
    directory, generation, step, config.train.left_out_maps
  )
  measured = all_data(generation, trained) if asked.all_data else generation
  inputs.check_fields(config.world_model, measured)
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_world_model",
    {
      "evaluate": asked_lib.measured(config),
      "generation": measured.digest,
      "ram": config.world_model.ram,
      "world_model": inputs.fingerprint(directory, step),
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      params = inputs.load_world_model(directory, step)
      found = _measure(config, asked, measured, trained, params, run)
      # The best is best on the very episodes that are reported on.
      chosen = asked.checkpoint_step == "best"
      warnings = asked.warnings({"": directory})
      run.finish({**found, "chosen_on_held_out": chosen, **warnings})
    result, verdicts = run.result, []
    if config.evaluate.detail == "full":  # else the quickstart's panel has them
      verdicts += summary.dream_verdicts(result)
      verdicts += summary.latent_verdicts(result)
    asked_lib.show(
      run,
      [summary.dream_table(result)],
      dream_tables.details(result),
      verdicts,
    )


def _measure(
  config: config_lib.Config,
  asked: asked_lib.Asked,
  generation: Any,
  trained: Any,
  params: Any,
  run: run_directory.Run,
) -> dict[str, Any]:
  from experiments.reports import dream_pictures
  from experiments.reports import world_model_report

  pictures = 3 if config.world_model.has_atlas else 2
  parts = world_model_report.parts(config.evaluate.detail) + pictures
  with progress.Progress("evaluation", parts, "parts") as bar:
    done = 0

    def told(part: str) -> None:
      nonlocal done
      if done:
        bar.update(done)
      bar.phase(part, about_s=15)
      done += 1

    evaluator = world_model_report.Evaluator(config, generation, trained)
    result = evaluator.report(
      params,
      _same_rom(asked.rom, evaluator.headers, generation.data_dir, run),
      told,
    )
    told("drawing the contact sheet")
    count = config.evaluate.windows
    evaluator.contact_sheet(params, run.path / "dreams.png", count)
    told("drawing strips by mode")
    evaluator.strips_by_mode(params, run.path / "modes.png")
    dream_pictures.save_drift(result, run.path / "drift.png")
    if config.world_model.has_atlas:
      told("drawing the atlas")
      result["atlas"] = evaluator.atlas(params, run.path)
    bar.update(parts)
  return result


def training_episodes(
  directory: str,
  generation: Any,
  step: int | None,
  leave_out_maps: Sequence[int] = (),
):
  """The episodes that a checkpoint has seen, those adopted on the way too."""
  from data_tools.records import generations
  from data_tools.records import loader
  from experiments.runs import adoptions

  shared: Any = {"cache_bytes": 0, "leave_out_maps": leave_out_maps}
  index = loader.EpisodeIndex(generation, "train", **shared)
  at = inputs.fingerprint(directory, step)["step"]
  for adoption in adoptions.read(directory).before(at):
    path = generation.path.with_name(f"{adoption.generation}.json")
    index = loader.EpisodeIndex(
      generations.load(path), "train", earlier=index.sides, **shared
    )
  return index


def all_data(generation: Any, trained: Any) -> Any:
  """The generation of all that lies where another one does.

  Raises:
    ValueError: an episode that it holds out is one of `trained`.
  """
  from data_tools.records import generations
  from data_tools.records import loader

  whole = generations.freeze(generation.data_dir)
  known = {header.episode_id for header in trained.headers}
  held_out = loader.EpisodeIndex(whole, "val", cache_bytes=0).headers
  seen = sorted(known & {header.episode_id for header in held_out})
  if seen:
    raise ValueError(
      f"--all_data: of {len(held_out)} episodes that are held out of all data "
      f"the model was trained on {len(seen)}, such as {seen[0]}, expected none"
    )
  return whole


def _same_rom(
  rom_path: str | None,
  headers: Any,
  data_dir: pathlib.Path,
  run: run_directory.Run,
) -> Any:
  """The ROM of the recording, None where its episodes cannot be played."""
  from data_tools.game import roms
  from data_tools.records import replay

  rom = roms.resolve(rom_path)
  try:
    for header in headers:
      replay.check_header(rom, header, replay.find_start(header, data_dir))
  except ValueError as error:
    run.log(f"No line of the emulator with other luck: {error}")
    return None
  return rom
