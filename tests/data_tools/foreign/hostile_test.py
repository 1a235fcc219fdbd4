"""Every reader of foreign files, given files that nobody wrote.

Whatever the bytes: one line that names the file, or what the whole file says.
Damage to a file as it lies on a disk is never read as something else. Pickles
are damaged too before they are packed, so that no checksum stands before the
interpreter: there anything may be read, but nothing may happen.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import pickle
import resource
import signal
import zipfile

import numpy as np
import pytest

from data_tools.foreign import inert_pickles
from data_tools.foreign import npz_files
from data_tools.foreign import sb3_policy
from data_tools.foreign import sb3_settings
from data_tools.foreign import torch_files
from tests.data_tools.foreign import npz_files_test
from tests.data_tools.foreign import torch_fakes as fakes

_MOST_GROWTH_MIB = 400  # of the whole process, over all inputs of a reader
_SECONDS = 5  # for one input


@contextlib.contextmanager
def _bounded():
  """Fails after so much time of this process for one of the inputs."""

  def fail(signal_number, frame):
    pytest.fail(f"an input took more than {_SECONDS} s")

  before = signal.signal(signal.SIGVTALRM, fail)
  try:
    yield lambda: signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
  finally:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def _peak_mib():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _digest(arrays):
  parts = [
    (name, array.dtype.str, array.shape, array.tobytes())
    for name, array in arrays.items()
  ]
  return hashlib.sha256(repr(parts).encode()).hexdigest()


def _state_dict():
  rng = np.random.default_rng(0)
  arrays = {f"{i}.weight": rng.normal(size=(3, 4)) for i in range(3)}
  return fakes.save(arrays)


def _read_state_dict(data, path):
  return _digest(torch_files.read_state_dict(data, str(path)))


def _checkpoint():
  arrays = {"net.a": np.arange(6.0).reshape(2, 3), "net.b": np.ones(2)}
  number = np.float64(0.25)
  return fakes.save_checkpoint(
    arrays,
    epoch=fakes.number(3),
    loss=pickle.dumps(number, 2)[2:-1],
    other=fakes.name("argparse", "Namespace")
    + pickle.EMPTY_TUPLE
    + pickle.NEWOBJ
    + pickle.EMPTY_DICT
    + pickle.BUILD,
  )


def _read_checkpoint(data, path):
  found = torch_files.read_checkpoint(data, ("net",), str(path))
  return _digest(found.tensors), found.numbers, found.others, found.remarks


def _policy():
  buffer = io.BytesIO()
  fakes.policy_file(buffer, fakes.policy_arrays())
  return buffer.getvalue()


def _read_policy(data, path):
  path.write_bytes(data)
  weights = dataclasses.asdict(sb3_policy.read(path))
  arrays = [*weights["convolutions"], weights["linear"], weights["action"]]
  named = {str(i): a for i, pair in enumerate(arrays) for a in pair}
  return _digest(named), weights["num_frames"]


def _npz(compressed):
  buffer = io.BytesIO()
  save = np.savez_compressed if compressed else np.savez
  save(buffer, **npz_files_test.columns(3))
  return buffer.getvalue()


def _read_npz(data, path):
  path.write_bytes(data)
  (file,) = npz_files.find(path.parent)
  pieces = list(npz_files.read(file, 2))
  rows = {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}
  return _digest(rows), file.steps, file.has_ram


_FILES = {
  "state_dict": (_state_dict, _read_state_dict),
  "checkpoint": (_checkpoint, _read_checkpoint),
  "policy": (_policy, _read_policy),
  "npz": (lambda: _npz(False), _read_npz),
  "npz_compressed": (lambda: _npz(True), _read_npz),
}


def _flips(data, rng, count):
  """One flipped bit each: half of them where the archive tells of itself."""
  table = data.rindex(b"PK\5\6")
  begin = data.index(b"PK\1\2")
  for i in range(count):
    changed = bytearray(data)
    at = int(rng.integers(begin if i % 2 else 0, max(table + 22, 1)))
    changed[at] ^= 1 << int(rng.integers(8))
    yield bytes(changed)


def _others(data, rng, count):
  """Some other bytes, cuts, pieces exchanged, and no archive at all."""
  for i in range(count):
    changed = bytearray(data)
    at, length = (int(n) for n in rng.integers(1, len(data), 2))
    if i % 4 == 0:
      for place in rng.integers(len(data), size=rng.integers(1, 9)):
        changed[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
    elif i % 4 == 1:
      del changed[at : at + length]
    elif i % 4 == 2:
      changed[at:at] = changed[length : length + 99]
    else:
      changed = bytearray(rng.bytes(at % 5000))
      if i % 8 == 3:
        changed = bytearray(b"PK\3\4") + changed + data[data.rindex(b"PK\5") :]
    yield bytes(changed)


def _try(read, inputs, expected, *arguments):
  """How many inputs were refused, and how many read, all as the whole."""
  refused = same = 0
  before = _peak_mib()
  with _bounded() as next_input:
    for data in inputs:
      next_input()
      try:
        found = read(data, *arguments)
      except ValueError as error:
        assert str(error).isprintable() and len(str(error)) < 500, error
        refused += 1
      else:
        assert expected is None or found == expected
        same += 1
  assert _peak_mib() - before < _MOST_GROWTH_MIB
  return refused, same


def _damage_files(kind, path, count, seed):
  make, read = _FILES[kind]
  whole = make()
  expected = read(whole, path)
  rng = np.random.default_rng(seed)
  flips = _try(read, _flips(whole, rng, count), expected, path)
  others = _try(read, _others(whole, rng, count), expected, path)
  assert sum(flips) == sum(others) == count
  assert min(*flips, others[0]) > 0
  return {"flips": flips, "others": others}


@pytest.mark.parametrize("kind", _FILES)
def test_a_damaged_file_is_read_as_the_whole_or_not_at_all(kind, tmp_path):
  _damage_files(kind, tmp_path / "transitions_0001.npz", 150, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", _FILES)
def test_many_damaged_files_are_read_as_the_whole_or_not_at_all(kind, tmp_path):
  path = tmp_path / "transitions_0001.npz"
  print(kind, _damage_files(kind, path, 10_000, 1))


def _pickles():
  """Honest pickles of every protocol."""
  things = {
    "text": ["a", 1.5, -3, 1 << 70, None, True, b"bytes", (1, 2, (3,))],
    "sets": ({1, 2}, frozenset("ab"), bytearray(b"x")),
    "numpy": (np.float32(1), np.arange(5), np.zeros((2, 2), order="F")),
    "deep": [[[[]]]],
  }
  yield from (pickle.dumps(things, protocol) for protocol in range(6))
  with zipfile.ZipFile(io.BytesIO(_checkpoint())) as file:
    yield file.read("archive/data.pkl")


def _damaged_pickles(rng, count):
  whole = list(_pickles())
  opcodes = np.frombuffer(b"".join(whole), np.uint8)
  for i in range(count):
    data = bytearray(whole[i % len(whole)])
    if i % 5 == 4:  # nothing but instructions
      data = bytearray(rng.choice(opcodes, rng.integers(1, 400)).tobytes())
    for at in rng.integers(len(data), size=rng.integers(1, 4)):
      if rng.integers(2):
        data[at] ^= 1 << int(rng.integers(8))
      else:
        data[at] = rng.choice(opcodes)
    if i % 3 == 0:
      at, to = (int(n) for n in rng.integers(0, len(data), 2))
      data[at:at] = data[to : to + 40]
    yield bytes(data)


def _read_pickle(data):
  return inert_pickles.describe(inert_pickles.interpret(data))


def _read_packed(data):
  packed = fakes.torch_file(data, {"0": bytes(48), "1": bytes(16)})
  torch_files.read_checkpoint(packed, ("net",), "evil.pt")


def _read_settings(data):
  settings = fakes.policy_settings()
  key = ("policy_kwargs", "observation_space", "action_space", "policy_class")[
    sum(data) % 4
  ]
  settings[key] = fakes.serialized(data)
  sb3_settings.read(json.dumps(settings).encode(), b"2.0.0", "evil.zip")


def _damage_pickles(count, seed):
  return {
    read.__name__: _try(
      read, _damaged_pickles(np.random.default_rng(seed), count), None
    )
    for read in (_read_pickle, _read_packed, _read_settings)
  }


def test_a_damaged_pickle_ends_in_one_line_or_does_nothing():
  for refused, read in _damage_pickles(400, 0).values():
    assert refused > 0 and refused + read == 400


@pytest.mark.slow
def test_many_damaged_pickles_end_in_one_line_or_do_nothing():
  print(_damage_pickles(100_000, 1))


def _damaged_settings(rng, count):
  whole = json.dumps(fakes.policy_settings()).encode()
  for i in range(count):
    data = bytearray(whole)
    for at in rng.integers(len(data), size=rng.integers(1, 4)):
      data[at] = rng.choice([0, 34, 44, 58, 123, 125, 255, rng.integers(256)])
    yield bytes(rng.bytes(200)) if i % 10 == 9 else bytes(data)


def _read_json(data):
  return sb3_settings.read(data, b"2.0.0", "evil.zip")


def test_damaged_settings_end_in_one_line():
  rng = np.random.default_rng(0)
  refused, read = _try(_read_json, _damaged_settings(rng, 500), None)
  assert refused > 0 and refused + read == 500


@pytest.mark.slow
def test_many_damaged_settings_end_in_one_line():
  rng = np.random.default_rng(1)
  print(_try(_read_json, _damaged_settings(rng, 50_000), None))


@pytest.mark.parametrize("protocol", range(6))
def test_an_honest_pickle_of_any_protocol_is_interpreted(protocol):
  made = {"a": [1, (2, 3), b"x"], "b": {"c": 1 << 70}, "d": {1, 2}}
  table = dict(inert_pickles.interpret(pickle.dumps(made, protocol)).pairs)
  assert table["a"][:2] == [1, (2, 3)]
  assert table["b"].pairs == [("c", 1 << 70)]
  assert "set" in inert_pickles.describe(table["d"])
