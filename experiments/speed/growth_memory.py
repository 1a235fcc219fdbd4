"""Whether memory grows over many updates: whole trainings, seen from outside.

`train_rssm` and `train_policy` are run as a person runs them, with metrics,
checkpoints and validation, which could keep memory as well as updates. At each
line of metrics the memory of the process is read that no file backs.
"""

from collections.abc import Sequence
import pathlib
import tempfile
from typing import Any

from experiments.machine import processes
from experiments.runs import metrics
from experiments.speed import growth_laws
from experiments.speed import growth_runs

SAMPLES = 200  # of a run
_SAVES = 10
_VALIDATIONS = 5


def measure(
  arguments: Sequence[str], updates: int, policy_updates: int
) -> dict[str, dict[str, Any]]:
  """Trains a world model and a policy, and says how their memory went.

  Args:
    arguments: preset and overrides of all verbs.
    updates: of the world model, at least `SAMPLES`.
    policy_updates: of the policy, at least `SAMPLES`; 0: none.

  Returns:
    By verb: `updates` and `mib` of each sample, `bytes_an_update` and its
    `interval` (`growth_laws.drift`).
  """
  found = {}
  with tempfile.TemporaryDirectory(prefix="benchmark_growth") as name:
    folder = pathlib.Path(name)
    data = folder / "data"

    def run(verb: str, workdir: str, *more: str, watch: Any = None) -> None:
      growth_runs.run(
        verb,
        [*arguments, f"--workdir={folder / workdir}", *more],
        folder / "log.txt",
        watch,
      )

    run("collect_data", "data")
    watch = Watch(folder / "world_model")
    run(
      "train_rssm",
      "world_model",
      f"--data_dir={data}",
      *_every("train", "steps", updates),
      f"--set=train.eval_every={updates // _VALIDATIONS}",
      watch=watch,
    )
    found["train_rssm"] = watch.result()
    if policy_updates:
      watch = Watch(folder / "policy")
      run(
        "train_policy",
        "policy",
        f"--data_dir={data}",
        f"--world_model={folder / 'world_model'}",
        "--clone=",  # from scratch
        *_every("policy", "updates", policy_updates),
        watch=watch,
      )
      found["train_policy"] = watch.result()
  return found


def lines(found: dict[str, dict[str, Any]]) -> list[str]:
  """A line a training."""
  table = []
  for verb, row in found.items():
    low, high = row["interval"]
    marked = "  GROWS" if low > 0 else ""
    table.append(
      f"{verb:<14} {row['updates'][-1]:>8,} updates, {row['mib'][0]:,.0f} MiB "
      f"at update {row['updates'][0]:,}, {row['mib'][-1]:,.0f} at the end: "
      f"{row['bytes_an_update']:+,.0f} bytes an update [{low:+,.0f}, "
      f"{high:+,.0f}]{marked}"
    )
  return table


class Watch:
  """Memory of a training at each line of its metrics."""

  def __init__(self, workdir: pathlib.Path):
    """Begins before the training does."""
    self._path = workdir / metrics.FILE
    self._bytes_read = 0
    self._updates: list[int] = []
    self._mib: list[float] = []

  def __call__(self, pid: int) -> None:
    """Takes a sample where a line has come since the last one."""
    try:
      size = self._path.stat().st_size
    except FileNotFoundError:  # no metrics yet
      return
    if size == self._bytes_read:
      return
    self._bytes_read = size
    rows = metrics.read(self._path, say=lambda remark: None)
    held = processes.anonymous_bytes(pid)
    if rows and held is not None:
      update = int(rows[-1]["step"])
      if not self._updates or update > self._updates[-1]:
        self._updates.append(update)
        self._mib.append(held / 2**20)

  def result(self) -> dict[str, Any]:
    """The samples and what they say.

    Raises:
      RuntimeError: too few of them.
    """
    try:
      drift = growth_laws.drift(self._updates, self._mib)
    except ValueError as error:
      raise RuntimeError(f"{self._path}: {error}") from None
    growth, low, high = (2**20 * value for value in drift)
    return {
      "updates": self._updates,
      "mib": [round(value, 3) for value in self._mib],
      "bytes_an_update": growth,
      "interval": [low, high],
    }


def _every(part: str, name: str, updates: int) -> list[str]:
  """Overrides: how many updates, and how often is logged and saved."""
  return [
    f"--set={part}.{name}={updates}",
    f"--set={part}.log_every={max(1, updates // SAMPLES)}",
    f"--set={part}.save_every={max(1, updates // _SAVES)}",
  ]
