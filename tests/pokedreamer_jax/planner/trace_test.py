"""A trace is whole up to its last line, and read back with checks."""

import json
import os
import signal
import subprocess
import sys

import pytest

from pokedreamer_jax.planner import trace
from tests import conftest

_CALL = {
  "trigger": "stuck",
  "asked_step": 3,
  "done_step": 5,
  "applied_step": 5,
  "state_sha256": "0",
  "done": "applied",
  "reply": {"goal": "heal", "rationale": "", "predicate": {}},
}


def _write(path, *calls, end=True):
  writer = trace.Writer(path)
  writer.write("start", format=trace.FORMAT, planner="told")
  for call in calls:
    writer.write("call", **{**_CALL, **call})
  if end:
    writer.write("end")
  writer.close()
  return path


def test_lines_come_back(tmp_path):
  path = _write(tmp_path / "t", {}, {"asked_step": 6, "applied_step": 9})
  found = trace.read(path)
  assert found.start["planner"] == "told"
  assert [line["applied_step"] for line in found.calls] == [5, 9]
  assert (found.remark, found.whole) == ("", True)


def test_half_a_line_at_the_end_is_left_out_and_told(tmp_path):
  path = _write(tmp_path / "t", {}, end=False)
  whole = path.read_bytes()
  path.write_bytes(whole + b'{"kind": "ca')
  found = trace.read(path)
  assert len(found.calls) == 1
  assert "half of line 3 left out" in found.remark
  assert not found.whole
  # Wherever it was cut, what is left are the whole lines before.
  for size in range(whole.index(b"\n") + 1, len(whole)):
    path.write_bytes(whole[:size])
    assert len(trace.read(path).lines) == 0


@pytest.mark.parametrize(
  ("change", "fault"),
  [
    ({"applied_step": 2}, "line 2: applied before it was asked"),
    ({"reply": None}, "without a reply"),
    ({"reply": {"goal": "fly away"}}, "line 2: no goal"),
    ({"reply": {}}, "line 2: no goal"),
    ({"done": "eaten"}, "done is 'eaten'"),
    ({"asked_step": "3"}, "asked_step is '3'"),
    ({"asked_step": True}, "asked_step is True"),
  ],
)
def test_a_bad_line_is_named(tmp_path, change, fault):
  path = _write(tmp_path / "t", change)
  with pytest.raises(ValueError, match=fault):
    trace.read(path)


@pytest.mark.parametrize(
  ("change", "fault"),
  [
    ({"goal": "fly away"}, "line 2: no goal"),
    ({"errand": ""}, "line 2: no goal"),
    ({"goal": None}, "line 2: goal is None"),
    ({"env_step": True}, "line 2: env_step is True"),
    ({"at": [1, 2]}, r"line 2: at is \[1, 2\], expected map, row, column"),
    ({"at": [1, 2, 256]}, r"line 2: at is \[1, 2, 256\]"),
    ({"at": [1, 2, "3"]}, r"line 2: at is \[1, 2, '3'\]"),
  ],
)
def test_a_bad_goal_of_the_driver_is_named(tmp_path, change, fault):
  line = {"env_step": 3, "state_sha256": "0", "reason": "reached"}
  line |= {"goal": "heal", "errand": "heal", "at": None}
  for values, is_bad in ((line, False), (line | change, True)):
    path = tmp_path / str(is_bad)
    writer = trace.Writer(path)
    writer.write("start", format=trace.FORMAT)
    writer.write("lead", **values)
    writer.close()
    if not is_bad:
      assert len(trace.read(path).lines) == 1
      continue
    with pytest.raises(ValueError, match=fault):
      trace.read(path)


def test_what_is_no_trace_is_refused(tmp_path):
  path = tmp_path / "t"
  for text, fault in (
    ("", "no trace"),
    ("{}\n", "line 1: kind None"),
    ('{"kind": "end"}\n', "no trace"),
    ('{"kind": "start", "format": 9}\n', "format 9, expected 1"),
    (
      '{"kind": "start", "format": 1, "state_fields": [1]}\n',
      "state_fields is",
    ),
    ("nonsense\n", "line 1: damaged JSON"),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=fault):
      trace.read(path)
  _write(tmp_path / "u", {}, {"applied_step": 5})
  with pytest.raises(ValueError, match="not in order"):
    trace.read(tmp_path / "u")


def test_a_trace_is_not_written_over(tmp_path):
  path = _write(tmp_path / "t")
  with pytest.raises(FileExistsError):
    trace.Writer(path)


def test_a_line_that_does_not_fit_leaves_the_others_whole(
  tmp_path, monkeypatch
):
  writer = trace.Writer(tmp_path / "t")
  writer.write("start", format=trace.FORMAT)
  real = os.write

  def full(descriptor, data):
    if len(data) < 10:
      raise OSError(28, "No space left on device")
    return real(descriptor, data[:10])

  monkeypatch.setattr(os, "write", full)
  with pytest.raises(OSError, match="No space"):
    writer.write("note", env_step=1, text="words")
  monkeypatch.undo()
  writer.write("note", env_step=2, text="words")
  writer.close()
  assert [line["env_step"] for line in trace.read(tmp_path / "t").lines] == [2]


_PLAYER = """
import sys
from pokedreamer_jax.planner import driver
from tests.pokedreamer_jax.planner import games
made = driver.Driver(games.small_world(), trace_path=sys.argv[1])
step = 0
while True:
  made.step(games.row(map_id=1 + step // 7 % 3, event_flags=step // 11 % 999))
  step += 1
  if step == 300: print("playing", flush=True)
"""


def test_after_kill_9_it_is_whole_up_to_its_last_line(tmp_path):
  path = tmp_path / "trace.jsonl"
  process = subprocess.Popen(
    [sys.executable, "-c", _PLAYER, str(path)],
    cwd=conftest.ROOT,
    stdout=subprocess.PIPE,
    env=os.environ | {"PYTHONPATH": str(conftest.ROOT)},
  )
  with process:
    assert process.stdout.readline() == b"playing\n"
    process.send_signal(signal.SIGKILL)
  found = trace.read(path)
  assert len(found.calls) > 20
  assert not found.whole
  assert [json.loads(x)["kind"] for x in path.read_bytes().splitlines()[:1]]
