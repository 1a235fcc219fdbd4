import dataclasses
import json

import numpy as np
import pytest

from data_tools.game import input_logs
from pokedreamer_jax import whole_files


def _log(actions, **changes):
  header = input_logs.Header("ab" * 20, "1.2", "", seed=3, jitter_frames=17)
  return input_logs.Log(
    dataclasses.replace(header, **changes), np.array(actions, np.uint8)
  )


def _write_open(path, log):
  """As a writer leaves it that was killed."""
  input_logs.write(path, log)
  path.write_bytes(path.read_bytes().rpartition(b"end ")[0])


def _play(length):
  return np.random.default_rng(0).integers(0, 8, length).tolist()


def test_a_log_comes_back_as_it_was_written(tmp_path):
  log = _log(_play(60))
  path = tmp_path / "logs" / "0.inputs"
  input_logs.write(path, log)
  again = input_logs.read(path)
  assert again.header == log.header and again.digest == log.digest
  np.testing.assert_array_equal(again.actions, log.actions)
  with pytest.raises(FileExistsError):
    input_logs.write(path, log)
  other = _log(_play(60), jitter_frames=18)
  assert other.digest != log.digest
  assert _log(_play(61)).digest != log.digest


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_torn_last_line_is_left_out_and_no_other(tmp_path, cut):
  path = tmp_path / "0.inputs"
  _write_open(path, _log([0, 6, 7]))  # down start pass
  path.write_bytes(path.read_bytes()[:-cut])
  log = input_logs.read(path)
  np.testing.assert_array_equal(log.actions, [0, 6])
  assert log.remark == (
    f"2 actions; left out a last line without an end: {'pass'[: 5 - cut]!r}"
  )
  assert log.digest == _log([0, 6]).digest


def test_a_log_that_is_whole_needs_no_remark(tmp_path):
  path = tmp_path / "0.inputs"
  input_logs.write(path, _log([0, 6, 7]))
  assert not input_logs.read(path).remark
  path.write_text("down\nstart")
  assert not input_logs.read(path, _log([]).header).remark


def test_a_list_without_a_header_has_its_last_action(tmp_path):
  path = tmp_path / "0.inputs"
  default = _log([]).header
  for text, actions in (
    ("down\nstart\npass", [0, 6, 7]),  # as editors and `printf` end it
    ("down\nstart\npass\n", [0, 6, 7]),
    ("a", [4]),
    ("", []),
  ):
    path.write_text(text)
    log = input_logs.read(path, default)
    np.testing.assert_array_equal(log.actions, actions)
  path.write_text("down\nsta")
  with pytest.raises(ValueError, match="line 2: 'sta', expected one of"):
    input_logs.read(path, default)


def test_every_action_is_in_the_file_at_once(tmp_path):
  path = tmp_path / "0.inputs"
  with input_logs.Writer(path, _log([]).header) as writer:
    for count, action in enumerate(_play(60), 1):
      writer.add(action)
      assert len(input_logs.read(path).actions) == count


def _line(values):
  return json.dumps(whole_files.seal(values)) + "\n"


def test_a_closed_log_holds_all_its_actions(tmp_path):
  path = tmp_path / "0.inputs"
  input_logs.write(path, _log([0, 6, 7, 4]))
  lines = path.read_text().splitlines(keepends=True)
  for bad in (
    lines[:2] + lines[3:],
    [*lines[:1], lines[2], lines[1], *lines[3:]],
    [*lines, "a\n"],
    [*lines, "a"],
  ):
    path.write_text("".join(bad))
    with pytest.raises(ValueError, match=r"0\.inputs"):
      input_logs.read(path)
  path.write_text("".join(lines)[:-9])  # its end was cut short, no action
  log = input_logs.read(path)
  assert len(log.actions) == 4 and log.remark


def test_logs_of_an_older_version_are_read_with_a_remark(tmp_path):
  whole_files.remark()
  path = tmp_path / "0.inputs"
  header = json.dumps(dataclasses.asdict(_log([]).header))
  path.write_text(header + "\ndown\nstart\n")
  assert input_logs.read(path).digest == _log([0, 6]).digest
  assert "0.inputs, line 1: written by an older version" in whole_files.remark()


def test_bad_logs_are_named(tmp_path):
  path = tmp_path / "0.inputs"
  _write_open(path, _log([1, 2]))
  good = path.read_text()
  head = json.loads(good.splitlines()[0])
  for text, words in (
    (good + "jump\n", r"line 4: 'jump', expected one of \['down'"),
    (good.partition("\n")[2], "no header line"),
    ("{\n", "line 1"),
    (_line(head | {"format": 2}), "format 2"),
    (_line(head | {"jitter_frames": -1}), "jitter_frames -1"),
    (_line(head | {"seed": "x"}), "seed: 'x'"),
    (_line(head | {"more": 1}), "more"),
    (json.dumps(head | {"seed": 4}) + "\n", "damaged, or changed by hand"),
    (good + "pas\x7f", r"its last line 'pas\\x7f' is not the beginning"),
    (good + "end 2 0123456789abcdef\n", "which is not of its 2 actions"),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
      input_logs.read(path)
    assert "0.inputs" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
  path.write_bytes(b"\xff\n")
  with pytest.raises(ValueError, match="no text"):
    input_logs.read(path)
  with pytest.raises(ValueError, match="No such file"):
    input_logs.read(tmp_path / "absent")


@pytest.mark.parametrize("frames", [10**9, 36_001, -1])
def test_a_log_that_waits_for_ever_is_refused(tmp_path, frames):
  header = dataclasses.asdict(
    input_logs.Header("0" * 40, "2.8.1", "", 0, frames)
  )
  (tmp_path / "a.inputs").write_text(json.dumps(header) + "\n")
  with pytest.raises(ValueError, match=r"line 1: .*expected 0 to 36000"):
    input_logs.read(tmp_path / "a.inputs")
