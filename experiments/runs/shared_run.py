"""The run of several processes: process 0 writes it, the others follow."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any
from typing import TextIO

from experiments.runs import comparing
from experiments.runs import distributed
from experiments.runs import json_store
from experiments.runs import metrics
from experiments.runs import run_directory


class Follower(run_directory.Run):
  """A run whose directory belongs to process 0.

  The same calls as there, but nothing is said and nothing written: checkpoints
  alone are the work of all processes.
  """

  def __init__(self, path: pathlib.Path, stage: str, config: dict[str, Any]):
    super().__init__(path, stage, config, metrics.NoWriter())
    self._nowhere = open(os.devnull, "w", encoding="utf-8")

  @property
  def screen(self) -> TextIO:
    return self._nowhere

  def log(self, text: str) -> None:
    del text

  def finish(self, result: Mapping[str, Any]) -> None:
    del result

  def note(self, **facts: Any) -> None:
    del facts

  def track(self, names: Iterable[str]) -> None:
    del names

  def close(self, how: str = "") -> None:
    super().close(how)
    self._nowhere.close()


def open_run(
  group: distributed.Group,
  workdir: str | pathlib.Path,
  stage: str,
  config: Mapping[str, Any],
  free: Collection[str] = (),
) -> run_directory.Run:
  """`run_directory.open_run` in process 0; the others, later, follow it.

  Raises:
    ValueError: as there; or a process was given another configuration than
      process 0, or does not see the directory.
  """
  if group.first:
    return run_directory.open_run(workdir, stage, config, free)
  path = pathlib.Path(workdir).absolute()
  if not (path / "config.json").exists():
    raise ValueError(
      f"{path}: not the directory that process 0 has opened, expected one that "
      "all processes share"
    )
  values = json.loads(json.dumps(dict(config)))
  recorded = json_store.read_whole(path / "config.json")
  comparing.check_same(path, recorded, {"stage": stage, **values}, ())
  run = Follower(path, stage, values)
  run.heed_signals()
  print(
    f"{stage}: process {group.index} of {group.count}; process 0 tells of "
    f"{path}",
    flush=True,
  )
  return run


class Stop:
  """What asks a run to stop, known in all its processes at the same update."""

  def __init__(
    self,
    run: run_directory.Run,
    largest: Callable[[int], Any] | None = None,
  ):
    """Begins with nothing asked.

    Args:
      run: of this process.
      largest: of the numbers of several processes, such as
        `mesh.make_largest` builds; None where there is one.
    """
    self._run = run
    self._largest = largest
    self._before: Any = None

  def signal(self) -> int:
    """The number of the signal that stops the run, 0 to go on.

    All processes have to call it once an update. They learn of a signal an
    update late, so that nobody waits for the update that is under way.
    """
    own = self._run.stop_signal
    if self._largest is None:
      return own
    before, self._before = self._before, self._largest(own)
    return 0 if before is None else int(before)
