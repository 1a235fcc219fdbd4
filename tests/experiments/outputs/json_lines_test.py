"""Logs of JSON lines: half a last line goes, and nothing else ever."""

import os
import random

import pytest

from experiments.outputs import json_lines
from experiments.runs import metrics


def _log(path, count=10):
  for step in range(count):
    json_lines.append(path, {"step": step, "loss": 0.5})
  return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
  "damage",
  [
    b"\0" * 20,
    b"",
    b"{",
    b"[1]",
    b"\xff\xfe",
    b'{"step": "x"}',
    b'{"step": 1.5}',
    b'{"step": 3, "loss": []}',
    b'{"step": 3, "loss": ' + b"9" * 5000 + b"}",
    b'{"step": 3, "loss": "much"}',
    b'{"step": 3, "time_s": "nan"}',
  ],
)
def test_a_damaged_line_within_is_named_and_stays(tmp_path, damage):
  path = tmp_path / "metrics.jsonl"
  lines = _log(path)
  lines[3] = damage + b"\n"
  path.write_bytes(b"".join(lines))
  said = []
  rows = metrics.read(path, said.append)
  assert [row["step"] for row in rows] == [0, 1, 2, *range(4, 10)]
  (line,) = said
  assert f"{path}: line 4 damaged" in line and len(line) < 400
  writer = metrics.Writer(tmp_path, said.append)
  assert path.read_bytes() == b"".join(lines)
  writer.truncate(6)
  writer.write(7, {"loss": 0.25})
  writer.close()
  kept = path.read_bytes().splitlines(keepends=True)
  assert kept[:7] == lines[:7] and len(kept) == 8


def test_half_a_last_line_alone_is_cut(tmp_path):
  path = tmp_path / "metrics.jsonl"
  whole = b"".join(_log(path, 3))
  start = whole.rindex(b"{")
  for end in range(start, len(whole) + 1):
    path.write_bytes(whole[:end])
    json_lines.mend(json_lines.read(path))
    # Its end alone is missing: then it is given one.
    expected = whole if end >= len(whole) - 1 else whole[:start]
    assert path.read_bytes() == expected
  path.write_bytes(whole + b"\0" * 512)  # what a power cut leaves
  json_lines.mend(json_lines.read(path))
  assert path.read_bytes() == whole


def test_random_damage_deletes_no_other_line(tmp_path):
  path = tmp_path / "metrics.jsonl"
  lines = _log(path)
  rng = random.Random(0)
  for _ in range(200):
    data = bytearray(b"".join(lines))
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))
    writer = metrics.Writer(tmp_path, lambda text: None)
    writer.truncate(10**6)
    rows = metrics.read(path, lambda text: None)
    assert len(rows) >= len(lines) - 2  # an end of line may be gone
    assert len(path.read_bytes()) >= len(data) - len(lines[-1])


def test_a_pipe_is_not_waited_for(tmp_path):
  os.mkfifo(tmp_path / "metrics.jsonl")
  with pytest.raises(ValueError, match=r"metrics\.jsonl: a pipe, expected"):
    metrics.Writer(tmp_path)


def test_the_remark_names_a_few_lines(tmp_path):
  path = tmp_path / "it.jsonl"
  path.write_bytes(b"x\n" * 9 + b"{}\n")
  remark = json_lines.read(path).remark
  assert "line 1, 2, 3, 4, 5 and 4 more damaged" in remark
  assert remark.endswith("; 1 whole")
