"""What the stages that train do alike: begin, resume, count, save, stop, end.

A stage is opened by its entry point; `carry_out` is the frame around its
training, `restore` brings it to its last checkpoint, and a `Loop` says after
every update what is due.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import dataclasses
from typing import Any
from typing import TypeVar

from experiments.machine import meter
from experiments.runs import progress
from experiments.runs import run_directory

_T = TypeVar("_T")


def carry_out(
  run: run_directory.Run,
  title: str,
  generation: Any,
  train: Callable[[], Mapping[str, Any]],
  shown: Callable[[Mapping[str, Any]], str],
  tracked: Iterable[str] = (),
) -> None:
  """Trains, unless that was done before, and leaves the result.

  Args:
    run: directory of the run; closed at the end.
    title: for people, such as "world model".
    generation: the data; what there is to say of it is logged.
    train: trains to the end and returns the result.
    shown: the part of a result that the last line tells.
    tracked: names of trackers that show the run, too.
  """
  with run:
    if run.finished:
      run.log(f"{title}: done already, {shown(run.result)}")
      return
    run.track(tracked)
    for line in generation.report():
      run.log(line)
    result = train()
    run.finish(result)
    run.log(f"{title}: {shown(result)}")


def restore(
  run: run_directory.Run,
  store: Any,
  title: str,
  template: Mapping[str, Any],
  latest: int | None = None,
) -> tuple[dict[str, Any], dict[str, Any]] | None:
  """Parts and loop state of the last checkpoint, None where there is none.

  Args:
    run: directory of the run.
    store: its checkpoints.
    title: for people.
    template: a part of the state by its name, as it is now.
    latest: the step, where it is known already.
  """
  step = store.latest_step() if latest is None else latest
  if step is None:
    return None
  found = store.restore(template, step)
  run.log(f"{title}: continuing at update {step}")
  return found


@dataclasses.dataclass(frozen=True)
class Due:
  """What has to be done after an update."""

  log: bool
  save: bool
  last: bool
  stop: int  # number of the signal that asks to leave, 0 to go on

  @property
  def look(self) -> bool:
    """Whether somebody will read the metrics."""
    return self.log or self.save


class Loop:
  """Counts the updates of a stage and shows how far it is.

  Used as a context manager around the updates. Metrics of updates that come
  again are dropped when it is entered.

      with stage_loop.Loop(run, store, "policy", 150, step, 5, 50) as loop:
        while loop.going:
          metrics = ...
          due = loop.after()
          if due.log: loop.tell(values, loss=values["loss"])
          if due.save: ...
          loop.leave_if(due)
  """

  def __init__(
    self,
    run: run_directory.Run,
    store: Any,
    title: str,
    total: int,
    step: int,
    log_every: int,
    save_every: int,
    compile_s: float = 0.0,
    rows: int = 0,
  ):
    """Begins at update `step` of `total`.

    Args:
      run: directory of the run.
      store: its checkpoints; waited for before the run is left.
      title: for people.
      total: updates there shall be in the end.
      step: updates that are done.
      log_every: updates from one line of metrics to the next.
      save_every: updates from one checkpoint to the next.
      compile_s: how long the first update is expected to compile.
      rows: env steps, recorded or dreamt, that an update learns from.
    """
    self.total = total
    self.step = step
    self._run = run
    self._store = store
    self._every = (log_every, save_every)
    self._compile_s = compile_s
    self._rows = rows
    self._meter = meter.Meter()
    self.bar = progress.Progress(
      title, total, "updates", step, stream=run.screen
    )
    self._stack = contextlib.ExitStack()

  @property
  def going(self) -> bool:
    """Whether updates are left."""
    return self.step < self.total

  @property
  def until_due(self) -> int:
    """Updates from here to the next that is logged or saved, at least 1."""
    nexts = [(self.step // every + 1) * every for every in self._every]
    return min(*nexts, self.total) - self.step

  def after(self, updates: int = 1, asked: int | None = None) -> Due:
    """Counts updates that are done.

    Args:
      updates: how many.
      asked: the signal that asks to stop; None asks the run.
    """
    self.step += updates
    self._meter.count(updates)
    last = not self.going
    log, save = (self.step % every == 0 for every in self._every)
    asked = self._run.stop_signal if asked is None else asked
    stop = 0 if last else asked
    return Due(log or last, save or last or bool(stop), last, stop)

  def tell(self, values: Mapping[str, float], **shown: Any) -> None:
    """Records metrics, and shows some of them beside the bar.

    Speed and memory go with them; `values` have to be on the host.
    """
    self._run.metrics(self.step, {**values, **self._meter.read(self._rows)})
    self.bar.update(self.step, **shown)

  def leave_if(self, due: Due) -> None:
    """Leaves the run, which has been saved, where that was asked for.

    Raises:
      run_directory.Stopped: always then.
    """
    if due.look:
      self._meter.restart()  # what was saved or told is no update's time
    if due.stop:
      self._store.wait()
      raise self._run.stopped(f"update {self.step} of {self.total}", due.stop)

  def __enter__(self) -> "Loop":
    self._run.truncate_metrics(self.step)
    self._stack.enter_context(self.bar)
    if self._compile_s:
      self.bar.compiling(about_s=self._compile_s)
    return self

  def __exit__(self, *error: object) -> None:
    self._stack.close()
