import argparse
import collections
import contextlib
import datetime
import fractions
import io
import os
import pathlib
import pickle
import signal
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from data_tools.foreign import torch_files
from data_tools.foreign import zip_files
from tests.data_tools.foreign import torch_fakes as fakes


def test_what_was_saved_is_read():
  rng = np.random.default_rng(0)
  arrays = {
    "a.weight": rng.normal(size=(3, 2, 4)).astype(np.float32),
    "a.bias": rng.normal(size=3),
    "count": np.array(7, np.int64),
  }
  read = torch_files.read_state_dict(fakes.save(arrays))
  assert list(read) == list(arrays)
  for key, array in arrays.items():
    np.testing.assert_array_equal(read[key], array)
    assert read[key].dtype == array.dtype


def test_views_of_one_storage_are_told_apart():
  raw = np.arange(10, dtype=np.float32)
  stored = fakes.storage("0", "float32", 10)
  items = {
    "turned": fakes.tensor(stored, 1, (3, 2), (1, 3)),
    "repeated": fakes.tensor(stored, 9, (4,), (0,)),
    "empty": fakes.tensor(stored, 0, (0, 3), (3, 1)),
  }
  data = fakes.torch_file(fakes.state_dict(items), {"0": raw.tobytes()})
  read = torch_files.read_state_dict(data)
  np.testing.assert_array_equal(read["turned"], [[1, 4], [2, 5], [3, 6]])
  np.testing.assert_array_equal(read["repeated"], [9, 9, 9, 9])
  assert read["empty"].shape == (0, 3)


class _Hostile:
  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_something_is_refused_unexecuted(
  tmp_path, protocol
):
  mark = tmp_path / "executed"
  data = pickle.dumps({"a": _Hostile(mark)}, protocol)
  with pytest.raises(ValueError, match="refused"):
    torch_files.read_state_dict(fakes.torch_file(data, {}), "evil.pth")
  assert not mark.exists()
  pickle.loads(data)  # the very same bytes do run where nobody looks
  assert mark.exists()


def _reduce(function, *arguments):
  body = pickle.MARK + b"".join(arguments) + pickle.TUPLE
  return function + body + pickle.REDUCE


_TENSOR = fakes.tensor(fakes.storage("0", "float32", 1), 0, (), ())


@pytest.mark.parametrize(
  "value, message",
  [
    (_reduce(fakes.name("os", "system"), fakes.text("true")), "'os.system'"),
    (fakes.name("builtins", "eval"), "'builtins.eval'"),
    (fakes.name("torch.storage", "_load_from_bytes"), "_load_from_bytes"),
    # Allowed names, but called otherwise, or changed.
    (_reduce(fakes.name("collections", "OrderedDict"), pickle.EMPTY_DICT),
     "call"),
    (_reduce(fakes.name("torch", "FloatStorage"), fakes.number(9)), "call"),
    (fakes.name("torch._utils", "_rebuild_tensor_v2") + pickle.EMPTY_DICT
     + pickle.BUILD, "attributes"),
    (fakes.text("x") + pickle.BINPERSID, "storage"),
    (fakes.storage("../../etc/passwd", "float32", 1), "storage"),
    (fakes.text("text"), "no tensor"),
    (pickle.EMPTY_LIST, "'a' is no tensor but a list"),
    (pickle.EMPTY_SET, "'a' is no tensor but a call of 'builtins.set'"),
    (fakes.tensor(fakes.storage("../../etc/passwd", "float32", 1), 0, (), ()),
     "'a' lies in a storage"),
    (fakes.tensor(fakes.text("x") + pickle.BINPERSID, 0, (), ()),
     "'a' lies in a storage"),
    # Marks of numbers that stand negated; attributes set in a tensor.
    (_TENSOR[:-2] + pickle.EMPTY_DICT + fakes.text("neg") + pickle.NEWTRUE
     + pickle.SETITEM + _TENSOR[-2:], "'a' is a tensor made by a call"),
    (_TENSOR + pickle.EMPTY_DICT + pickle.BUILD, "a call that is not known"),
  ],
)  # fmt: skip
def test_what_no_state_dictionary_needs_is_refused(value, message):
  data = fakes.state_dict({"a": value})
  with pytest.raises(ValueError, match=f"evil.pth: refused: .*{message}"):
    torch_files.read_state_dict(fakes.torch_file(data, {}), "evil.pth")


@pytest.mark.parametrize(
  "offset, shape, stride",
  [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (3, 1)), (4, (), ())],
)
def test_a_tensor_beyond_its_storage_is_refused(offset, shape, stride):
  stored = fakes.storage("0", "float32", 4)
  items = {"a": fakes.tensor(stored, offset, shape, stride)}
  data = fakes.torch_file(fakes.state_dict(items), {"0": bytes(16)})
  with pytest.raises(ValueError, match="'a' passes its storage's end"):
    torch_files.read_state_dict(data)


@pytest.mark.parametrize(
  "shape, stride, message",
  [
    ((1 << 40,), (0,), "MiB"),
    ((2,), (-1,), "shape"),
    ((1,) * 9, (1,) * 9, "shape"),
    ((2, 2), (1,), "shape"),
    # Without elements, but numpy makes no array of such a shape.
    ((0, 1 << 40, 1 << 40), (1, 1, 1), "evil.pt: .*shape"),
    ((1 << 40, 1 << 40), (0, 0), "shape"),
  ],
)
def test_odd_shapes_are_refused_without_the_memory(shape, stride, message):
  stored = fakes.storage("0", "float32", 4)
  items = {"a": fakes.tensor(stored, 0, shape, stride)}
  data = fakes.torch_file(fakes.state_dict(items), {"0": bytes(16)})
  with pytest.raises(ValueError, match=message):
    torch_files.read_state_dict(data, "evil.pt")


def test_steps_over_the_end_of_memory_are_refused():
  stored = fakes.storage("0", "float32", 4)
  for shape, stride in (
    ((1, 2), ((1 << 48) - 1, (1 << 48) - 1)),
    ((2,) * 8, ((1 << 48) - 1,) * 8),
  ):
    items = {"a": fakes.tensor(stored, 0, shape, stride)}
    data = fakes.torch_file(fakes.state_dict(items), {"0": bytes(16)})
    with pytest.raises(ValueError, match=r"evil\.pt: 'a' passes"):
      torch_files.read_state_dict(data, "evil.pt")
  # Along an axis of one element no step is taken.
  items = {"a": fakes.tensor(stored, 2, (1, 2), ((1 << 48) - 1, 1))}
  data = fakes.torch_file(fakes.state_dict(items), {"0": bytes(16)})
  assert torch_files.read_state_dict(data)["a"].shape == (1, 2)


def test_a_storage_that_unpacks_to_too_much_is_refused(monkeypatch):
  monkeypatch.setattr(torch_files, "MOST_BYTES", 1 << 16)
  stored = fakes.storage("0", "float32", 1 << 20)
  items = {"a": fakes.tensor(stored, 0, (1,), (1,))}
  data = fakes.torch_file(
    fakes.state_dict(items), {"0": bytes(4 << 20)}, zipfile.ZIP_DEFLATED
  )
  assert len(data) < 1 << 16  # small before it is unpacked
  with pytest.raises(ValueError, match="more than 0 MiB"):
    torch_files.read_state_dict(data)


def _checkpoint(**others):
  arrays = {
    "first.a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "first.count": np.array(7, np.int64),
    "second.b": np.ones(2),
  }
  return arrays, fakes.save_checkpoint(arrays, **others)


def test_parts_of_a_checkpoint_are_read_and_nothing_else():
  lost = fakes.tensor(fakes.storage("99", "float32", 9), 0, (9,), (1,))
  numbered = pickle.EMPTY_DICT + pickle.BININT1 + b"\3" + lost + pickle.SETITEM
  listed = pickle.EMPTY_LIST + pickle.MARK + numbered + pickle.NONE
  fraction = pickle.BINFLOAT + struct.pack(">d", 0.25)
  arrays, data = _checkpoint(
    optimiser=listed + pickle.APPENDS,  # its tensors' bytes are not there
    groups=pickle.EMPTY_LIST + fraction + pickle.APPEND,
    epoch=fakes.number(3),
    loss=fraction,
    odd=pickle.BINFLOAT + struct.pack(">d", np.inf),
  )
  found = torch_files.read_checkpoint(data, ("first", "second"))
  assert found.numbers == {"epoch": 3, "loss": 0.25}
  assert found.others == {
    "optimiser": "a list",
    "groups": "a list",
    "odd": "a float",
  }
  assert found.tensors.keys() == arrays.keys() and not found.remarks
  for key, array in arrays.items():
    np.testing.assert_array_equal(found.tensors[key], array)
  found = torch_files.read_checkpoint(data, ("second",))
  assert list(found.tensors) == ["second.b"]
  with pytest.raises(ValueError, match=r"no state dictionary 'third' in \["):
    torch_files.read_checkpoint(data, ("third",))
  with pytest.raises(ValueError, match="no state dictionary 'epoch'"):
    torch_files.read_checkpoint(data, ("epoch",))


@pytest.mark.parametrize(
  "value, message",
  [
    (_reduce(fakes.name("os", "system"), fakes.text("true")), "'os.system'"),
    (fakes.name("builtins", "eval"), "'builtins.eval'"),
    (fakes.text("x") + pickle.NONE + pickle.APPEND, "no list"),
    (fakes.text("x") + pickle.MARK + pickle.APPENDS, "no list"),
    (pickle.EMPTY_LIST + pickle.EMPTY_DICT + pickle.BUILD, "attributes"),
    (
      pickle.EMPTY_LIST + pickle.NONE + pickle.NONE + pickle.SETITEM,
      "no dictionary",
    ),
    (pickle.NEXT_BUFFER, "NEXT_BUFFER"),
  ],
)
def test_what_no_checkpoint_needs_is_refused(value, message):
  _, data = _checkpoint(other=value)
  with pytest.raises(ValueError, match=f"evil.pt: refused: .*{message}"):
    torch_files.read_checkpoint(data, ("first",), "evil.pt")


@pytest.mark.parametrize("protocol", range(6))
def test_a_checkpoint_that_calls_something_is_refused_unexecuted(
  tmp_path, protocol
):
  mark = tmp_path / "executed"
  data = pickle.dumps({"first": {}, "x": [_Hostile(mark)]}, protocol)
  with pytest.raises(ValueError, match="refused"):
    torch_files.read_checkpoint(fakes.torch_file(data, {}), ("first",))
  assert not mark.exists()


def test_all_parts_together_are_limited(monkeypatch):
  _, data = _checkpoint()
  monkeypatch.setattr(torch_files, "MOST_BYTES", 2 * (6 * 4 + 8 + 2 * 8))
  torch_files.read_checkpoint(data, ("first", "second"))
  monkeypatch.setattr(torch_files, "MOST_BYTES", torch_files.MOST_BYTES - 1)
  torch_files.read_checkpoint(data, ("first",))
  with pytest.raises(ValueError, match="MiB"):
    torch_files.read_checkpoint(data, ("first", "second"))


def test_a_pickle_that_unpacks_to_too_much_is_refused(monkeypatch):
  monkeypatch.setattr(torch_files, "MOST_PICKLE_BYTES", 1000)
  data = fakes.state_dict({"a": fakes.text("x" * 2000)})
  with pytest.raises(ValueError, match="at most 1000 allowed"):
    torch_files.read_state_dict(fakes.torch_file(data, {}))


@pytest.mark.parametrize(
  "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_storages_and_pickles_that_are_packed_are_refused_unread(method):
  stored = fakes.storage("0", "float32", 4 << 20)
  items = {"a": fakes.tensor(stored, 0, (1,), (1,))}
  state = fakes.state_dict(items)
  packed = [fakes.torch_file(state, {"0": bytes(16 << 20)}, method)]
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w", method) as file:
    file.writestr("archive/data.pkl", bytes(16 << 20))
  # The pickle says that it is small.
  small = bytearray(buffer.getvalue())
  struct.pack_into("<I", small, small.rindex(b"PK\1\2") + 24, 100)
  packed.append(bytes(small))
  tracemalloc.start()
  try:
    for data in packed:
      with pytest.raises(ValueError, match=r"evil\.pt: entry .* is packed"):
        torch_files.read_state_dict(data, "evil.pt")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
  finally:
    tracemalloc.stop()


@contextlib.contextmanager
def _within(seconds):
  """Fails after so many seconds of this process, however slow the machine."""

  def fail(signal_number, frame):
    pytest.fail(f"not done after {seconds} s")  # no `Exception`: not caught

  before = signal.signal(signal.SIGVTALRM, fail)
  signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


_MANY = 100_000
_ENTRY = fakes.text("a") + pickle.NONE + pickle.SETITEM
_KEPT = (
  pickle.MARK
  + fakes.text("storage")
  + fakes.name("torch", "FloatStorage")
  + fakes.text("1" * (1 << 20))
  + fakes.text("cpu")
  + fakes.number(1)
  + pickle.TUPLE
  + pickle.BINPUT
  + b"\0"
)


@pytest.mark.parametrize(
  "body, message",
  [
    # Every mark above a high stack.
    (pickle.NONE * _MANY + (pickle.MARK + pickle.TUPLE) * _MANY, "damaged"),
    (pickle.MARK * _MANY + pickle.TUPLE * _MANY, "no dictionary"),
    (pickle.NONE + pickle.TUPLE1 * _MANY, "no dictionary"),
    # A name of a million digits, looked at again and again.
    (_KEPT + (pickle.BINPERSID + pickle.BINGET + b"\0") * _MANY, "damaged"),
    # Text of a megabyte, joined to a name again and again.
    (
      fakes.text("a" * (1 << 20))
      + pickle.BINPUT
      + b"\0"
      + (pickle.BINGET + b"\0" + pickle.STACK_GLOBAL) * _MANY,
      "names 'aaa",
    ),
    # Calls within calls, and numbers that would lie in one place of a table.
    (
      pickle.NONE + (pickle.EMPTY_TUPLE + pickle.REDUCE) * (_MANY * 5),
      "no dictionary",
    ),
    (
      pickle.EMPTY_DICT
      + b"".join(
        pickle.LONG1
        + b"\x0e"
        + (n * ((1 << 61) - 1)).to_bytes(14, "little")
        + pickle.NONE
        + pickle.SETITEM
        for n in range(_MANY)
      ),
      "more than 10000 entries",
    ),
    (pickle.NONE * (1 << 20), "instructions"),
    (pickle.EMPTY_DICT + fakes.text("a" * 257) + _ENTRY[-2:], "a key of 257"),
    (
      pickle.EMPTY_DICT
      + b"".join(fakes.text(f"{n}") + _ENTRY[-2:] for n in range(10_001)),
      "more than 10000 entries",
    ),
  ],
)
def test_no_pickle_takes_long(body, message):
  data = fakes.torch_file(b"\x80\x02" + body + pickle.STOP, {})
  with _within(20), pytest.raises(ValueError, match=f"evil.pt: .*{message}"):
    torch_files.read_checkpoint(data, ("first",), "evil.pt")


@pytest.mark.parametrize(
  "body, message",
  [
    (pickle.BINGET + b"\7", "recalls 7, which it never kept"),
    (pickle.LONG_BINGET + b"\7\0\0\1", "recalls 16777223"),
    (pickle.LONG1 + b"\x09" + b"\xff" * 8 + b"\x7f", "is a whole number"),
    (
      pickle.LONG4 + struct.pack("<i", 1 << 10) + b"\x7f" * 1024,
      "is a whole number",
    ),
    (pickle.NONE + pickle.PUT + b"9" * 4000 + b"\n", "an odd number"),
    (pickle.GET + b"9" * 4000 + b"\n", "recalls 4294967296"),
    (pickle.MARK + pickle.EMPTY_DICT, "within a mark"),
    (pickle.NONE + pickle.TUPLE3, "a tuple of more than there is"),
    (pickle.TUPLE, "damaged"),
    (pickle.SETITEM, "damaged"),
    (pickle.BINPUT + b"\0", "damaged"),
    (pickle.EMPTY_LIST + pickle.NONE + pickle.NONE + pickle.SETITEM, "no dict"),
    (b"Pname\n", "opcode PERSID"),
    (fakes.text("x") + pickle.BINPERSID, "storage"),
    (pickle.MEMOIZE, "damaged"),
    (pickle.FRAME + bytes(8), "damaged"),
    (pickle.SHORT_BINUNICODE + b"\1a", "it is text, no dictionary"),
    (pickle.POP, "damaged"),
    (pickle.MARK + pickle.POP, "damaged"),
    (pickle.NONE + pickle.NONE + pickle.STACK_GLOBAL, "what is no text"),
    (pickle.EXT1 + b"\1", "opcode EXT1"),
    (pickle.NEXT_BUFFER, "opcode NEXT_BUFFER"),
    (pickle.BINUNICODE8 + struct.pack("<Q", 1 << 62) + b"a", "damaged"),
    (pickle.BYTEARRAY8 + struct.pack("<Q", 1 << 62) + b"a", "damaged"),
    (pickle.INT + b"9" * 100_000 + b"\n", "damaged"),
    (b"\xff", "damaged"),
    (fakes.name("\x1b[2J" + "long" * 1000, "name"), "the pickle names"),
  ],
)
def test_odd_instructions_end_in_one_line_that_names_the_file(body, message):
  data = fakes.torch_file(b"\x80\x02" + body + pickle.STOP, {})
  with pytest.raises(ValueError, match=f"^evil.pt: .*{message}") as error:
    torch_files.read_checkpoint(data, ("first",), "evil.pt")
  assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_a_dictionary_that_holds_itself_is_refused():
  kept = pickle.BINPUT + b"\0"
  itself = fakes.text("a") + pickle.BINGET + b"\0" + pickle.SETITEM
  body = b"\x80\x02" + pickle.EMPTY_DICT + kept + itself + pickle.STOP
  data = fakes.torch_file(body, {})
  for read in (
    lambda: torch_files.read_state_dict(data, "evil.pt"),
    lambda: torch_files.read_checkpoint(data, ("a",), "evil.pt"),
  ):
    with pytest.raises(ValueError, match=r"evil\.pt: refused: .* is no tensor"):
      read()


def test_only_finite_numbers_of_a_checkpoint_that_have_a_name_are_told():
  most = pickle.LONG1 + b"\x08" + b"\xff" * 7 + b"\x7f"
  _, data = _checkpoint(most=most, true=pickle.NEWTRUE, text=fakes.text("x"))
  found = torch_files.read_checkpoint(data, ("first",))
  assert found.numbers == {"most": (1 << 63) - 1}


def test_damaged_files_end_in_one_line_that_names_them():
  whole = fakes.save({"a": np.arange(4, dtype=np.float32)})
  for data in (b"", b"text", whole[:-30], whole[: len(whole) // 2]):
    with pytest.raises(ValueError, match=r"^p\.pth: ") as error:
      torch_files.read_state_dict(data, "p.pth")
    assert "\n" not in str(error.value)
  # A flipped bit in the raw tensor is found by the zip's checksum.
  stored = io.BytesIO()
  with zipfile.ZipFile(io.BytesIO(whole)) as old:
    with zipfile.ZipFile(stored, "w") as new:
      for entry in old.namelist():
        new.writestr(entry, old.read(entry))
  raw = bytearray(stored.getvalue())
  at = raw.index(np.arange(4, dtype=np.float32).tobytes())
  raw[at + 5] ^= 1
  with pytest.raises(ValueError, match="CRC"):
    torch_files.read_state_dict(bytes(raw))


def test_no_changed_byte_raises_anything_else():
  _, data = _checkpoint(epoch=fakes.number(3))
  rng = np.random.default_rng(0)
  read = 0
  for _ in range(400):
    changed = bytearray(data)
    for at in rng.integers(len(changed), size=rng.integers(1, 4)):
      changed[at] = rng.choice([0, 1, 0x7F, 0xFF, rng.integers(256)])
    try:
      torch_files.read_checkpoint(bytes(changed), ("first",), "evil.pt")
      read += 1
    except ValueError as error:
      assert str(error).startswith("evil.pt: ") and "\n" not in str(error)
  assert 0 < read < 400


@pytest.mark.parametrize("cut", [3, 20, 60, 90])
def test_a_damaged_pickle_is_refused(cut):
  data = fakes.state_dict({"a": fakes.numbers([1, 2])})[:-cut]
  with pytest.raises(ValueError, match="damaged pickle"):
    torch_files.read_state_dict(fakes.torch_file(data, {}))


def test_big_endian_tensors_are_refused():
  data = fakes.torch_file(fakes.state_dict({}), {}, byteorder="big")
  with pytest.raises(ValueError, match="little-endian"):
    torch_files.read_state_dict(data)


def test_a_name_that_occurs_twice_is_refused():
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as file:
    file.writestr("a", b"1")
    with pytest.warns(UserWarning, match="Duplicate"):
      file.writestr("a", b"2")
  with pytest.raises(ValueError, match="twice"):
    zip_files.Archive(buffer.getvalue(), "x")


def test_checkpoints_of_the_real_library_are_read():
  torch = pytest.importorskip("torch", reason="torch is not installed")
  module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
  adam = torch.optim.Adam(module.parameters(), 3e-4)
  module(torch.ones(2, 3)).sum().backward()
  adam.step()
  buffer = io.BytesIO()
  state = {
    "epoch": 4,
    "net": module.state_dict(),
    "optimizer_state_dict": adam.state_dict(),
    "history": [{"loss": 0.5, "steps": [1, 2]}],
    "val_loss": 0.5,
  }
  torch.save(state, buffer)
  found = torch_files.read_checkpoint(buffer.getvalue(), ("net",))
  read = found.tensors
  assert found.numbers == {"epoch": 4, "val_loss": 0.5}
  assert list(read) == [f"net.{name}" for name in module.state_dict()]
  for name, tensor in module.state_dict().items():
    np.testing.assert_array_equal(read[f"net.{name}"], tensor.numpy())


def test_files_of_the_real_library_are_read():
  torch = pytest.importorskip("torch", reason="torch is not installed")
  with torch.no_grad():
    base = torch.arange(24.0).reshape(4, 6)
    tensors = {
      "turned": base.t(),
      "part": base[1:3, 2:5],
      "double": base.double(),
      "half": base.half(),
      "scalar": torch.tensor(3),
      "flag": torch.tensor([True, False]),
      "parameter": torch.nn.Parameter(torch.ones(2, 3)),
      "empty": torch.zeros(0, 3),
    }
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    module = torch.nn.Sequential(
      torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
    )
    state = io.BytesIO()
    torch.save(module.state_dict(), state)
  for saved, expected in (
    (buffer, tensors),
    (state, module.state_dict()),
  ):
    read = torch_files.read_state_dict(saved.getvalue())
    assert list(read) == list(expected)
    for key, array in read.items():
      np.testing.assert_array_equal(array, expected[key].detach().numpy())


class _Unheard:
  """A class that no reader knows; to unpickle it would import this file."""

  def __init__(self):
    self.values = {1: [2.5]}


_BYSTANDERS = {
  "val_loss": np.mean([0.1, 0.4]),
  "steps": np.int64(12),
  "config": argparse.Namespace(lr=3e-4, path=pathlib.PurePosixPath("runs/x")),
  "log_dir": pathlib.PurePosixPath("runs/x"),
  "history": collections.defaultdict(list, {"loss": [1.0, 2.0]}),
  "ordered": collections.OrderedDict([("a", 1)]),
  "counts": collections.Counter("aab"),
  "last": collections.deque([1, 2], maxlen=3),
  "date": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
  "took": datetime.timedelta(seconds=3),
  "seen": {1, 2},
  "fixed": frozenset("ab"),
  "betas": (0.9, 0.999, complex(1, 2)),
  "big": 1 << 80,
  "fraction": fractions.Fraction(1, 3),
  "state": np.random.default_rng(0).bit_generator.state,
  "array": np.arange(6.0).reshape(2, 3),
  "text": "words",
  "bytes": b"\0\xff",
  "none": None,
  "unheard": _Unheard(),
  "anneal": argparse.ArgumentParser.parse_args,  # named with a dot within
  "dtype": np.dtype("float32"),
  "nested": {"scheduler": {"base_lrs": [0.1], 3: {"deep": [_Unheard()]}}},
}


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_lies_beside_the_tensors_costs_no_file(protocol):
  others = {
    key: pickle.dumps(value, protocol) for key, value in _BYSTANDERS.items()
  }
  # As one pickle lies within another: without its frame, and it never recalls
  # what the pickle around it kept.
  for key, data in others.items():
    head = 11 if protocol >= 4 and data[2:3] == pickle.FRAME else 2
    others[key] = data[head:-1]
  arrays, data = _checkpoint(**others)
  found = torch_files.read_checkpoint(data, ("first", "second"))
  assert found.numbers == {"val_loss": 0.25, "steps": 12}
  assert found.others.keys() == _BYSTANDERS.keys() - found.numbers.keys()
  assert "argparse.Namespace" in found.others["config"]
  assert "_Unheard" in found.others["unheard"]
  assert found.tensors.keys() == arrays.keys()
  for key, array in arrays.items():
    np.testing.assert_array_equal(found.tensors[key], array)


def _renamed(rename):
  arrays = {"a.weight": np.ones((2, 3), np.float32), "count": np.array(7)}
  return fakes.save_checkpoint(
    {f"net.{rename(key)}": array for key, array in arrays.items()}
  )


@pytest.mark.parametrize(
  "rename, taken",
  [
    (lambda key: key, ""),
    (lambda key: f"module.{key}", "module."),
    (lambda key: f"_orig_mod.{key}", "_orig_mod."),
    (lambda key: f"_orig_mod.module.{key}", "_orig_mod. and module."),
    (lambda key: f"module._orig_mod.{key}", "_orig_mod. and module."),
    (lambda key: key.replace("a.", "a._orig_mod."), "_orig_mod."),
  ],
)
def test_names_that_wrappers_made_longer_are_shortened(rename, taken):
  found = torch_files.read_checkpoint(_renamed(rename), ("net",))
  assert list(found.tensors) == ["net.a.weight", "net.count"]
  said = f"{taken} taken off the tensors' names in net"
  assert found.remarks == ([said] if taken else [])


def test_names_are_shortened_only_without_doubt():
  def rename(key):
    return f"module.{key}" if key == "count" else key

  found = torch_files.read_checkpoint(_renamed(rename), ("net",))
  assert list(found.tensors) == ["net.a.weight", "net.module.count"]
  arrays = {"net.a": np.ones(1), "net._orig_mod.a": np.zeros(1)}
  with pytest.raises(ValueError, match="net: two tensors have one name"):
    torch_files.read_checkpoint(fakes.save_checkpoint(arrays), ("net",))


def test_bfloat16_is_read_exactly():
  bits = np.array([0, 0x8000, 0x3F80, 0xC049, 0x7F80, 1, 0x7FC0], np.uint16)
  stored = fakes.storage("0", "bfloat16", 7)
  items = {
    "all": fakes.tensor(stored, 0, (7,), (1,)),
    "turned": fakes.tensor(stored, 1, (2, 3), (1, 2)),
    "none": fakes.tensor(stored, 0, (0,), (1,)),
  }
  state = fakes.state_dict({"net": fakes.pickled(items)})
  data = fakes.torch_file(state, {"0": bits.tobytes()})
  found = torch_files.read_checkpoint(data, ("net",))
  # 1.1001001b x 2 = 3.140625; the smallest is 2^-133.
  expected = [0, -0.0, 1, -3.140625, np.inf, 2.0**-133, np.nan]
  read = found.tensors["net.all"]
  assert read.dtype == np.float32
  np.testing.assert_array_equal(read, np.array(expected, np.float32))
  assert np.signbit(read[1])
  np.testing.assert_array_equal(
    found.tensors["net.turned"], read[[[1, 3, 5], [2, 4, 6]]]
  )
  assert found.tensors["net.none"].dtype == np.float32
  assert found.remarks == ["3 tensors of bfloat16 read as float32, exactly"]


def test_a_storage_of_another_kind_is_refused_by_name_where_asked_for():
  lost = fakes.tensor(fakes.storage("7", "complex64", 2), 0, (2,), (1,))
  items = {"a": lost}
  data = fakes.save_checkpoint({"net.b": np.ones(1)}, other=lost)
  assert list(torch_files.read_checkpoint(data, ("net",)).tensors) == ["net.b"]
  data = fakes.torch_file(fakes.state_dict({"net": fakes.pickled(items)}), {})
  with pytest.raises(ValueError, match=r"'net\.a' lies .*ComplexFloatStorage"):
    torch_files.read_checkpoint(data, ("net",))


def test_the_old_format_is_named_with_the_way_out(tmp_path):
  # Of `torch.save(.., _use_new_zipfile_serialization=False)`: a magic number,
  # then a version, both pickled.
  magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
  old = magic + pickle.dumps(1001, 2) + pickle.dumps({"a": 1}, 2)
  (tmp_path / "old.pt").write_bytes(old)
  for read in (
    lambda: torch_files.read_checkpoint(str(tmp_path / "old.pt"), ("net",)),
    lambda: torch_files.read_state_dict(old, "old.pt"),
  ):
    with pytest.raises(
      ValueError, match=r"old\.pt: .* before PyTorch 1\.6;"
    ) as e:
      read()
    assert "_use_new_zipfile_serialization=True" in str(e.value)
    assert str(e.value).isprintable()


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
  os.mkfifo(tmp_path / "x.pt")
  for path in (str(tmp_path / "x.pt"), str(tmp_path), "/dev/zero"):
    with _within(20), pytest.raises(ValueError, match="no regular file"):
      torch_files.read_checkpoint(path, ("net",))
  with pytest.raises(ValueError, match=r"absent\.pt: No such file"):
    torch_files.read_state_dict(str(tmp_path / "absent.pt"))
  with pytest.raises(ValueError, match="embedded null byte"):
    torch_files.read_state_dict("a\0b")


def test_what_the_real_library_saves_beside_the_tensors_costs_no_file(tmp_path):
  torch = pytest.importorskip("torch", reason="torch is not installed")
  module = torch.nn.Linear(3, 4)
  adam = torch.optim.AdamW(module.parameters(), 3e-4)
  module(torch.ones(2, 3)).sum().backward()
  adam.step()
  others = _BYSTANDERS | {
    "optimizer_state_dict": adam.state_dict(),
    "scheduler": torch.optim.lr_scheduler.OneCycleLR(
      adam, 0.1, total_steps=9
    ).state_dict(),
    "rng": torch.get_rng_state(),
    "size": torch.ones(2, 3).shape,
    "device": torch.device("cpu"),
    "kind": torch.bfloat16,
    "complex": torch.ones(2, dtype=torch.complex64),
    "module": module,
  }
  for kind in (torch.float32, torch.float16, torch.bfloat16):
    state = {key: t.to(kind) for key, t in module.state_dict().items()}
    for protocol in (2, 4, 5):
      torch.save(
        others | {"net": state}, tmp_path / "x.pt", pickle_protocol=protocol
      )
      found = torch_files.read_checkpoint(str(tmp_path / "x.pt"), ("net",))
      assert found.others.keys() == others.keys() - {"val_loss", "steps"}
      for key, tensor in state.items():
        np.testing.assert_array_equal(
          found.tensors[f"net.{key}"], tensor.float().numpy()
        )
  torch.save(
    {"net": state},
    tmp_path / "x.pt",
    _use_new_zipfile_serialization=False,
  )
  with pytest.raises(ValueError, match=r"before PyTorch 1\.6"):
    torch_files.read_checkpoint(str(tmp_path / "x.pt"), ("net",))
