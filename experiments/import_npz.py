"""Turns the published system's transitions_*.npz into records to train on.

    python -m experiments.import_npz --npz_dir=DIR --workdir=DIR

RGB frames become four shades, which is checked to lose nothing; a frame with
another colour is refused, with its file and index. Episodes begin where the
files say so and may go on in the next file. What the files do not hold (levels,
experience, the enemy, rewards by kind) stays zero. The same command continues
an interrupted import; other files need another directory. Train with

    python -m experiments.train_rssm --data_dir=DIR --workdir=DIR

The way back: python -m experiments.export_npz.
"""

import dataclasses

from experiments.runs import cli
from experiments.runs import progress
from experiments.runs import run_directory

cli.string("workdir", None, "Directory of the records; the same continues.")
cli.string("out_dir", None, "The same as --workdir.")
_NPZ_DIR = cli.string("npz_dir", None, "Directory of the transitions_*.npz.")
_MAX_FILES = cli.integer("max_files", None, "Take the first files only.")
_ROM = cli.string("rom", None, "ROM that was played: named in the records.")
_CHOSEN_BY = cli.string(
  "chosen_by", "policy", "Who chose the actions, one of specs.BEHAVIOURS."
)


def main() -> None:
  """Looks into all files, then imports them."""
  from data_tools.foreign import npz_files
  from data_tools.foreign import npz_import
  from data_tools.game import roms
  from data_tools.records import generations

  rom = roms.resolve(_ROM.value) if _ROM.value else None
  files = npz_files.find(cli.required("npz_dir"), _MAX_FILES.value)
  run = run_directory.open_run(
    cli.workdir("out_dir"),
    "import",
    {
      "files": {file.path.name: file.sha256 for file in files},
      "chosen_by": _CHOSEN_BY.value,
      "rom_sha1": rom.sha1 if rom else "",
    },
  )
  total = sum(file.steps for file in files)
  with run:
    with progress.Progress("import", total, "steps") as bar:
      result = npz_import.import_files(
        files,
        run.path,
        _CHOSEN_BY.value,
        rom,
        progress=bar.update,
        stop=lambda: run.stop_requested,
      )
    if result.stopped:
      raise run.stopped(f"{result.new_episodes} new episodes")
    for line in _remarks(result):
      run.log(f"import: {line}")
    generation = generations.freeze(run.path)
    for line in generation.report():
      run.log(line)
    run.finish({**dataclasses.asdict(result), "generation": generation.digest})


def _remarks(result) -> list[str]:
  lines = [
    f"{result.files} files, {result.steps} steps, {result.episodes} episodes "
    f"({result.new_episodes} new), memory fields "
    f"{'present' if result.has_ram else 'absent'}"
  ]
  if result.cut_starts:
    lines.append(
      "the file before is missing, so that an episode begins in its middle: "
      + ", ".join(result.cut_starts)
    )
  if result.nonzero_rewards:
    lines.append(
      f"{result.nonzero_rewards} steps have a reward, which is not imported: "
      "a sum cannot be told apart into kinds"
    )
  return lines


if __name__ == "__main__":
  cli.run_main(main)
