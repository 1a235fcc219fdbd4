"""How the cost of evaluating a world model grows: with windows, with records.

Verbs are run as a person runs them: episodes of the emulator, a world model
with few updates, `evaluate --what=world_model` in quick detail. What is seen of
the model depends on its training, what is done hardly does. Compiled programs
are kept between the runs, and a first one, which is not counted, makes them.
"""

from collections.abc import Sequence
import pathlib
import tempfile

from data_tools.records import generations
from experiments.speed import growth_runs

Rows = dict[int, dict[str, float]]

_UPDATES = 4
_CACHED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def measure(
  arguments: Sequence[str],
  episodes: Sequence[int],
  windows: Sequence[int],
) -> tuple[Rows, Rows]:
  """CPU seconds and MiB of evaluating a world model.

  Args:
    arguments: preset and overrides of all verbs.
    episodes: that are recorded, ascending; each adds to those before.
    windows: that are dreamt, ascending: the least with each number of
      episodes, all with the most episodes.

  Returns:
    By recorded steps, with training so many updates as do nothing beside it
    (records read, tiles and map counted); and by windows.
  """
  with tempfile.TemporaryDirectory(prefix="benchmark_growth") as folder:
    verbs = _Verbs(pathlib.Path(folder), arguments)
    by_steps, by_windows = {}, {}
    verbs.collect(episodes[0])
    verbs.train()
    verbs.evaluate(windows[0])
    for count in episodes:
      steps = verbs.collect(count)
      begun = verbs.train()
      taken = verbs.evaluate(windows[0])
      by_steps[steps] = {
        "begin_training_s": begun.cpu_s,
        "begin_training_mib": begun.peak_mib,
        "evaluate_s": taken.cpu_s,
        "evaluate_mib": taken.peak_mib,
      }
      print(f"{steps:,} steps: {by_steps[steps]}", flush=True)
    for count in windows:
      taken = verbs.evaluate(count)
      by_windows[count] = {
        "evaluate_s": taken.cpu_s,
        "evaluate_mib": taken.peak_mib,
      }
      print(f"{count:,} windows: {by_windows[count]}", flush=True)
  return by_steps, by_windows


class _Verbs:
  """Three verbs in one folder; each call has a directory of its own."""

  def __init__(self, folder: pathlib.Path, arguments: Sequence[str]):
    self._folder, self._arguments = folder, list(arguments)
    self._data = folder / "data"
    self._calls = 0
    self._model = folder

  def collect(self, episodes: int) -> int:
    """Records up to so many episodes; the steps that are there then."""
    overrides = [f"--set=collect.episodes={episodes}"]
    self._run("collect_data", [f"--workdir={self._data}", *overrides])
    return generations.freeze(self._data).num_steps

  def train(self) -> growth_runs.Ran:
    """A world model of all that is recorded."""
    self._model = self._new()
    return self._run(
      "train_rssm",
      [
        f"--data_dir={self._data}",
        f"--workdir={self._model}",
        f"--set=train.steps={_UPDATES}",
        f"--set=train.eval_every={_UPDATES}",
      ],
    )

  def evaluate(self, windows: int) -> growth_runs.Ran:
    """Evaluates the world model that was trained last."""
    return self._run(
      "evaluate",
      [
        "--what=world_model",
        f"--data_dir={self._data}",
        f"--world_model={self._model}",
        f"--workdir={self._new()}",
        f"--set=evaluate.windows={windows}",
        "--set=evaluate.detail=quick",
      ],
    )

  def _run(self, verb: str, arguments: Sequence[str]) -> growth_runs.Ran:
    return growth_runs.run(
      verb,
      [*self._arguments, *arguments],
      self._folder / "log.txt",
      environment={
        **_CACHED,
        "JAX_COMPILATION_CACHE_DIR": str(self._folder / "programs"),
      },
    )

  def _new(self) -> pathlib.Path:
    self._calls += 1
    return self._folder / str(self._calls)
