r"""Writes records as a Minari data set, Parquet without loss.

    python -m experiments.export_minari --data_dir=DIR --out=DIR \
      --dataset_id=chapter_one-v0
    MINARI_DATASETS_PATH=DIR python -c \
      "import minari; print(minari.load_dataset('chapter_one-v0'))"

How large it will be is said first: some five times the records. Frames are
RGB, as the environments give them; `--reward` weighs the terms that were
recorded, which are among the infos as well. Everything is read back and
compared at the end. Needs Minari: `pip install -r requirements-minari.txt`.
"""

import pathlib
import shutil

from experiments.runs import cli
from experiments.runs import exporting
from experiments.runs import progress
from pokedreamer_jax import specs

_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")
_OUT = cli.string("out", None, "Folder of Minari data sets.")
_DATASET_ID = cli.string("dataset_id", None, "Its name and version, NAME-v0.")
_REWARD = cli.choice(
  "reward", "published", ("published", "progress"), "How terms are weighed."
)
_MAX_FILES = cli.integer("max_files", 0, "Shards to take; 0 is all.")


def main() -> None:
  """Looks at everything, says the size, writes and reads back."""
  from data_tools.records import generations
  from data_tools.records import loader
  from experiments.sharing import minari_files

  data_dir, name = cli.required("data_dir"), cli.required("dataset_id")
  target = minari_files.check(cli.required("out"), name)
  if (_MAX_FILES.value or 0) < 0:
    raise ValueError(f"--max_files={_MAX_FILES.value}: expected at least 0")
  minari_files.library()
  generation = generations.gather(data_dir, max_shards=_MAX_FILES.value or 0)
  for line in generation.report():
    cli.say(line)
  steps = generation.num_steps
  print(_size(steps, generation.size_bytes, target), flush=True)
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  weights = specs.REWARD_WEIGHTS[_REWARD.value or ""]
  about = {
    "description": f"Recorded play, generation {generation.digest}, by "
    "pokedreamer_jax; rewards are weighed as "
    f"{_REWARD.value}, without levels and caps.",
    "algorithm_name": ", ".join(sorted({h.behaviour for h in index.headers})),
  }
  short: list[str] = []

  def fill(folder: pathlib.Path) -> None:
    with progress.Progress("minari", steps, "steps") as bar:
      short.extend(
        minari_files.write(folder, name, index, weights, about, bar.update)
      )
    found = minari_files.differences(folder, index, weights)
    if found:
      raise RuntimeError(f"{name}: not what was recorded: {found[:3]}")

  exporting.in_one_go(target, fill)
  for episode in short:
    print(f"left out: episode {episode} has a single row, no step")
  size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
  print(
    f"{target}: {len(index) - len(short)} episodes, {size:,} bytes "
    f"({size / steps:,.0f} a row), read back and the same"
  )


def _size(steps: int, size_bytes: int, target: pathlib.Path) -> str:
  """What it will take, before anything is written.

  Raises:
    ValueError: the disk has less.
  """
  from experiments.sharing import minari_files

  most = steps * minari_files.FRAME_BYTES
  about = steps * minari_files.STEP_BYTES
  there = next(path for path in target.absolute().parents if path.exists())
  free = shutil.disk_usage(there).free
  if free < 2 * about:
    raise ValueError(
      f"{there}: {free:,} bytes are free, expected {2 * about:,}, twice what "
      f"{steps:,} rows mostly take; --max_files takes fewer"
    )
  return (
    f"{steps:,} rows of {size_bytes:,} bytes as records: about {about:,} bytes "
    f"as Minari's ({most:,} before compression); {free:,} are free"
  )


if __name__ == "__main__":
  cli.run_main(main)
