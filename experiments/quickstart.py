"""From nothing to an agent trained in its own dreams, and a report of it.

    python -m experiments.quickstart --workdir=runs/quickstart

Runs the ordinary entry points one after the other and shows their commands.
Ctrl-C saves; the same command goes on where it stopped. When all is done it
prints the result again. `--rom=great_vale` takes the larger practice cartridge
instead of chapter one, `--rom=PATH` plays your own game.
"""

from collections.abc import Sequence
import os
import pathlib
from typing import Any

from experiments import quickstart_plan
from experiments.outputs import colours
from experiments.reports import summary
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import measured_times
from experiments.runs import plans
from experiments.runs import run_directory
from experiments.runs import stages
from pokedreamer_jax.config import run as config_lib

cli.define_run_flags("runs/quickstart")
_ROM = cli.define_rom()


def main() -> int | None:
  """Plans the stages, runs those that are pending, prints the panel."""
  from data_tools.game import roms

  workdir = cli.workdir()
  rom = roms.resolve(_ROM.value)
  # A ROM that the environment names is named in the commands that are shown.
  rom_path = _ROM.value or os.environ.get(roms.ROM_VARIABLE)
  overrides, notes = quickstart_plan.adapt(rom.kind)
  config = cli.make_config(overrides)
  quickstart_plan.check(config, rom)  # before the directory is claimed for it
  notes += quickstart_plan.remarks(config, rom)
  if config.preset == "debug":
    notes.append("preset debug tries the wiring; its numbers mean nothing")
  run = run_directory.open_run(
    workdir,
    "quickstart",
    {**config_lib.to_dict(config), "rom": rom.sha1},
    plans.FREE,
    graceful=False,
  )
  with run:
    arguments = cli.config_arguments(overrides)
    plan = quickstart_plan.make_plan(
      workdir, rom.kind, rom_path, arguments, config
    )
    if stages.pending(plan[1:]):
      run.log(f"Game: {rom.describe()}")
      run.log(f"Preset {config.preset}, seed {config.seed}, in {workdir}")
      for note in notes:
        run.log(f"Note: {note}")
      times_s = measured_times.expected_s(config)
      code = plans.carry_out(plan, run, notes, times_s)
      if code:
        return code
    shown = summary.collect(workdir)
    print_panel(shown, workdir, arguments, run, rom_path)
    run.finish(to_json(shown))
  return 0


def print_panel(
  shown: summary.Summary,
  workdir: pathlib.Path,
  config_arguments: Sequence[str],
  run: run_directory.Run,
  rom_path: str | None = None,
) -> None:
  """The closing panel, on the screen and in the log."""
  lines = ["", "=" * 78, "Result", ""]
  if shown.caution:
    lines += [shown.caution]
  else:
    lines += text_tables.plain_tables([*shown.tables, shown.costs])
    lines += text_tables.plain_verdicts(shown.verdicts)
    lines += [f"Note: {note}" for note in shown.notes]
  lines += ["", f"Report: {workdir / 'report.html'}", "", "Next:"]
  commands = next_commands(workdir, config_arguments, rom_path)
  lines += [f"  {text}" for text in commands]
  colours.show("\n".join(lines), run.screen)
  run.keep("\n".join(lines))


def next_commands(
  workdir: pathlib.Path,
  config_arguments: Sequence[str],
  rom_path: str | None = None,
) -> list[str]:
  """Three commands worth trying now, each with what it does."""
  longer = cli.command_line(
    "experiments.train_rssm",
    [
      f"--workdir={workdir / 'world_model_longer'}",
      f"--data_dir={workdir / 'data'}",
      *(a for a in config_arguments if "train.steps" not in a),
      "--set=train.steps=20000",
    ],
    here=True,
  )
  star = workdir / "policy"
  star = star if star.exists() else workdir / "world_model"
  clip = cli.command_line(
    "experiments.generate_demo_video",
    [
      f"--checkpoint={star}",
      *quickstart_plan.rom_arguments(rom_path),
      "--seed=1",
      "--out_video=demo.mp4",
    ],
    here=True,
  )
  speed = cli.command_line("experiments.benchmark_imagination", [], here=True)
  return [
    f"{longer}   # train the world model longer",
    f"{clip}   # another clip",
    f"{speed}   # imagined steps per second",
  ]


def to_json(shown: summary.Summary) -> dict[str, Any]:
  """The result of the quickstart, for programs."""
  return {
    "caution": shown.caution,
    "verdicts": [
      {"holds": verdict.holds, "text": verdict.text}
      for verdict in shown.verdicts
    ],
    "tables": [
      {"title": table.title, "header": table.header, "rows": table.rows}
      for table in [*shown.tables, shown.costs]
    ],
  }


def _adapted() -> list[str]:
  from data_tools.game import roms

  return quickstart_plan.adapt(roms.resolve(_ROM.value).kind)[0]


if __name__ == "__main__":
  cli.define_defaults(_adapted)
  cli.run_main(main)
