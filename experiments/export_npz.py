"""Writes recorded episodes as the published system's transitions_*.npz.

    python -m experiments.export_npz --data_dir=DIR --out_dir=DIR

Frames are RGB at full size. Memory fields are written where every episode has
them; `rewards` has the published weights, received on arriving at a row.
"""

from experiments.runs import cli
from experiments.runs import progress

_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")
_OUT_DIR = cli.string("out_dir", None, "Where the files go; none may be there.")
_SAVE_INTERVAL = cli.integer("save_interval", 10_000, "Steps of one file.")


def main() -> None:
  """Freezes what is recorded and writes it."""
  from data_tools.foreign import npz_import
  from data_tools.records import generations
  from data_tools.records import loader

  cli.required("data_dir")
  generation = generations.freeze(_DATA_DIR.value or "")
  for line in generation.report():
    cli.say(line)
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  with progress.Progress("export", generation.num_steps, "steps") as bar:
    paths = npz_import.export_files(
      index, cli.required("out_dir"), _SAVE_INTERVAL.value or 0, bar.update
    )
  print(f"wrote {len(paths)} files to {paths[0].parent}")


if __name__ == "__main__":
  cli.run_main(main)
