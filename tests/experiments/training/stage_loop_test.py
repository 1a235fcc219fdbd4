"""What is due after an update, and how a stage begins and ends."""

import io
import signal
import types

import pytest

from experiments.runs import run_directory
from experiments.training import stage_loop


class _Run:
  """A run that notes what it is told."""

  def __init__(self, result=None):
    self.told, self.result, self.stop_signal = [], result, 0
    self.screen = io.StringIO()
    self.path, self.stage = "nowhere", "stage"

  finished = property(lambda self: self.result is not None)
  stopped = run_directory.Run.stopped
  _signal = None

  def log(self, text):
    self.told.append(text)

  def track(self, names):
    self.told += [f"tracked by {name}" for name in names]

  def metrics(self, step, values):
    self.told.append((step, values))

  def truncate_metrics(self, step):
    self.told.append(f"metrics to {step}")

  def finish(self, result):
    self.result = result

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self.told.append("closed")


_DATA = types.SimpleNamespace(report=lambda: ["skipped one shard"])


def _loop(run, total, step, log_every, save_every):
  store = types.SimpleNamespace(wait=lambda: run.told.append("waited"))
  return stage_loop.Loop(run, store, "t", total, step, log_every, save_every)


def test_what_is_due_by_hand():
  with _loop(_Run(), 7, 1, 2, 3) as loop:
    due = {}
    while loop.going:
      made = loop.after()
      due[loop.step] = (made.log, made.save, made.last)
  assert due == {
    2: (True, False, False),
    3: (False, True, False),
    4: (True, False, False),
    5: (False, False, False),
    6: (True, True, False),
    7: (True, True, True),
  }


def test_blocks_of_updates_end_where_something_is_due():
  with _loop(_Run(), 7, 0, 2, 3) as loop:
    ends = []
    while loop.going:
      loop.after(loop.until_due)
      ends.append(loop.step)
  assert ends == [2, 3, 4, 6, 7]


def test_a_signal_saves_and_leaves_but_not_after_the_last_update():
  run = _Run()
  with _loop(run, 3, 1, 9, 9) as loop:
    run.stop_signal = signal.SIGTERM
    due = loop.after()
    assert due.save and not due.log and due.look
    with pytest.raises(run_directory.Stopped, match="update 2 of 3") as raised:
      loop.leave_if(due)
    assert raised.value.exit_code == 143 and run.told[-1] == "waited"
    due = loop.after()
    assert due.last and not due.stop
    loop.leave_if(due)
  assert run.told[0] == "metrics to 1"


def test_speed_and_memory_go_with_the_metrics():
  run = _Run()
  with _loop(run, 3, 0, 2, 9) as loop:
    for _ in range(3):  # the first one compiles
      due = loop.after()
      if due.log:
        loop.tell({"loss": 1.0})
      loop.leave_if(due)
  (_, two), (_, three) = [told for told in run.told if type(told) is tuple]
  for values in (two, three):
    assert values["loss"] == 1.0 and values["machine/memory_gib"] > 0
    assert values["machine/updates_per_s"] > 0
  assert "machine/rows_per_s" not in two  # nobody said how many


def test_a_stage_trains_once_and_tells_its_result():
  run = _Run()
  shown = lambda result: f"value {result['value']}"
  stage_loop.carry_out(run, "t", _DATA, lambda: {"value": 3}, shown, ["w"])
  told = ["tracked by w", "skipped one shard", "t: value 3", "closed"]
  assert run.told == told
  stage_loop.carry_out(run, "t", _DATA, lambda: 1 / 0, shown, ["w"])
  assert run.told[4:] == ["t: done already, value 3", "closed"]


def test_a_failed_stage_leaves_no_result():
  run = _Run()
  with pytest.raises(ZeroDivisionError):
    stage_loop.carry_out(run, "t", _DATA, lambda: 1 / 0, str)
  assert run.result is None and run.told[-1] == "closed"


def test_a_run_without_checkpoints_begins_anew():
  run = _Run()
  store = types.SimpleNamespace(latest_step=lambda: None)
  assert stage_loop.restore(run, store, "t", {}) is None
  store = types.SimpleNamespace(
    latest_step=lambda: 8, restore=lambda parts, step: (parts, {"step": step})
  )
  found = stage_loop.restore(run, store, "t", {"a": 1})
  assert found == ({"a": 1}, {"step": 8})
  assert run.told == ["t: continuing at update 8"]
