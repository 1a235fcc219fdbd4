import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from data_tools.foreign import npz_files
from data_tools.game import frame_codec


def columns(length, seed=0, ram=True, starts=(0,)):
  """Made-up columns as the published collector wrote them."""
  rng = np.random.default_rng(seed)
  shades = rng.integers(0, 4, (length, 144, 160))
  arrays = {
    "obs": np.repeat(frame_codec.GREY_LEVELS[shades][..., None], 3, axis=-1),
    "actions": rng.integers(0, 6, length).astype(np.uint8),
    "rewards": np.zeros(length, np.float32),
    "episode_starts": np.isin(np.arange(length), starts),
  }
  if ram:
    for name in ("map_ids", "xs", "ys", "badges"):
      arrays[name] = rng.integers(1, 40, length).astype(np.uint8)
    arrays["facings"] = (4 * rng.integers(0, 4, length)).astype(np.uint8)
    for name in ("in_battles", "dialog_opens"):
      arrays[name] = rng.integers(0, 2, length).astype(bool)
    for name in ("party_hps", "party_max_hps"):
      arrays[name] = rng.integers(1, 300, (length, 6)).astype(np.int16)
  return arrays


def write(directory, number, arrays, compressed=True):
  path = directory / f"transitions_{number:04d}.npz"
  (np.savez_compressed if compressed else np.savez)(path, **arrays)
  return path


def _read_all(file, slab=5):
  pieces = list(npz_files.read(file, slab))
  return {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}


@pytest.mark.parametrize("ram", [True, False])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_numpy_wrote_is_read_without_loss(tmp_path, ram, compressed):
  arrays = columns(12, ram=ram)
  write(tmp_path, 1, arrays, compressed)
  (file,) = npz_files.find(tmp_path)
  assert (file.steps, file.has_ram, file.number) == (12, ram, 1)
  rows = _read_all(file)
  assert set(rows) == set(arrays)
  np.testing.assert_array_equal(
    frame_codec.unpack_rgb(rows.pop("obs")), arrays.pop("obs")
  )
  for name, array in arrays.items():
    np.testing.assert_array_equal(rows[name], array)


def test_files_come_by_number_and_as_many_as_asked_for(tmp_path):
  for number in (10, 2, 1):
    write(tmp_path, number, columns(2, number))
  (tmp_path / "transitions_x.npz").write_bytes(b"")
  assert [f.number for f in npz_files.find(tmp_path)] == [1, 2, 10]
  assert [f.number for f in npz_files.find(tmp_path, 2)] == [1, 2]
  with pytest.raises(ValueError, match="max_files: 0"):
    npz_files.find(tmp_path, 0)
  with pytest.raises(ValueError, match="no transitions_"):
    npz_files.find(tmp_path / "elsewhere")


@pytest.mark.parametrize(
  "colour, shown",
  [((255, 153, 85), r"\(255, 153, 85\)"), ((154, 154, 154), r"\(154, 154")],
)
def test_a_foreign_colour_is_refused_with_file_and_index(
  tmp_path, colour, shown
):
  arrays = columns(12)
  arrays["obs"][8, 143, 159] = colour  # one pixel of the second slab
  write(tmp_path, 3, arrays)
  (file,) = npz_files.find(tmp_path)
  with pytest.raises(
    ValueError, match=rf"transitions_0003\.npz: obs\[8\] has 1 .*{shown}"
  ):
    _read_all(file)


@pytest.mark.parametrize(
  "name, value, message",
  [
    ("actions", 8, r"actions\[7\] is 8, allowed are 0 to 7"),
    ("rewards", np.nan, r"rewards\[7\] is nan"),
    ("party_hps", -1, r"party_hps\[7\]"),
    ("episode_starts", 2, r"episode_starts\[7\] is True"),
    ("in_battles", 2, r"in_battles\[7\] .* bytes 0 and 1"),
  ],
)
def test_an_impossible_value_is_refused_with_its_index(
  tmp_path, name, value, message
):
  arrays = columns(12)
  if arrays[name].dtype == bool:  # whose assignment would tidy up
    arrays[name].view(np.uint8)[7] = value
  else:
    arrays[name][7] = value
  write(tmp_path, 1, arrays)
  with pytest.raises(ValueError, match=message):
    _read_all(npz_files.find(tmp_path)[0])


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"obs": np.zeros((4, 36, 40, 3), np.uint8)}, "were shrunk"),
    ({"obs": np.zeros((4, 144, 160, 3), np.float32)}, "float32"),
    ({"actions": np.zeros(3, np.uint8)}, "unequal length"),
    ({"actions": np.zeros((4, 1), np.uint8)}, "actions: uint8"),
    ({"episode_starts": None}, "no entry 'episode_starts.npy'"),
    ({"badges": None}, "memory fields without"),
    ({"party_hps": np.zeros((6, 4), np.int16).T}, "Fortran"),
  ],
)
def test_other_columns_are_refused(tmp_path, changes, message):
  arrays = columns(4) | changes
  arrays = {k: v for k, v in arrays.items() if v is not None}
  write(tmp_path, 1, arrays)
  with pytest.raises(ValueError, match=message):
    npz_files.find(tmp_path)


class _Hostile:
  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.mkdir, (str(self._path),)


def test_a_pickled_array_is_refused_unexecuted(tmp_path):
  mark = tmp_path / "executed"
  arrays = columns(2)
  arrays["actions"] = np.array([_Hostile(mark)] * 2, object)
  write(tmp_path, 1, arrays)
  with pytest.raises(ValueError, match="pickled objects, which are never read"):
    npz_files.find(tmp_path)
  assert not mark.exists()
  pickle.loads(pickle.dumps(_Hostile(mark)))  # it would have done something
  assert mark.exists()


def _replace(path, entry, data):
  """Puts other bytes in the place of one entry."""
  with zipfile.ZipFile(path) as old:
    entries = {name: old.read(name) for name in old.namelist()}
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
    for name, content in (entries | {entry: data}).items():
      new.writestr(name, content)


def _npy(shape, data=b""):
  buffer = io.BytesIO()
  header = {"descr": "|u1", "fortran_order": False, "shape": shape}
  np.lib.format.write_array_header_1_0(buffer, header)
  return buffer.getvalue() + data


def test_a_file_that_claims_more_than_it_holds_costs_no_memory(tmp_path):
  path = write(tmp_path, 1, columns(4))
  _replace(path, "actions.npy", _npy((1 << 40,)))
  with pytest.raises(ValueError, match="unequal length"):
    npz_files.find(tmp_path)
  write(tmp_path, 1, columns(4))
  _replace(path, "actions.npy", _npy((4,), b"\0\0"))
  with pytest.raises(ValueError, match="actions: ends within the rows from 0"):
    _read_all(npz_files.find(tmp_path)[0])


def test_rows_behind_the_last_one_are_refused(tmp_path):
  path = write(tmp_path, 1, columns(4))
  _replace(path, "actions.npy", _npy((4,), bytes(5)))
  with pytest.raises(ValueError, match="actions: goes on behind its 4 rows"):
    _read_all(npz_files.find(tmp_path)[0])


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
  path = tmp_path / "transitions_0001.npz"
  os.mkfifo(path)
  with pytest.raises(ValueError, match=r"0001\.npz: no regular file"):
    npz_files.find(tmp_path)
  path.unlink()
  path.symlink_to("/dev/zero")
  with pytest.raises(ValueError, match=r"0001\.npz: no regular file"):
    npz_files.find(tmp_path)


@pytest.mark.parametrize("shape", [(36, 40, 3), (36, 40), (144, 160)])
def test_frames_of_another_size_are_refused_with_the_reason(tmp_path, shape):
  write(tmp_path, 1, columns(4) | {"obs": np.zeros((4, *shape), np.uint8)})
  hint = "were shrunk, which cannot be undone" if 36 in shape else "expected"
  with pytest.raises(ValueError, match=rf"obs: uint8\[4, {shape[0]}.*{hint}"):
    npz_files.find(tmp_path)


def test_too_long_a_file_is_refused_before_it_is_unpacked(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(npz_files, "MOST_STEPS", 3)
  write(tmp_path, 1, columns(4))
  with pytest.raises(ValueError, match="4 steps, expected 1 to 3"):
    npz_files.find(tmp_path)


def test_a_header_that_goes_on_for_ever_is_refused(tmp_path):
  path = write(tmp_path, 1, columns(2))
  long = b"\x93NUMPY\x02\x00" + (1 << 24).to_bytes(4, "little")
  _replace(path, "actions.npy", long + b" " * (1 << 24))
  with pytest.raises(ValueError, match="actions: no plain array"):
    npz_files.find(tmp_path)


def test_a_long_header_is_refused_before_it_is_unpacked(tmp_path):
  path = write(tmp_path, 1, columns(2))
  long = b"\x93NUMPY\x02\x00" + (1 << 25).to_bytes(4, "little")
  _replace(path, "actions.npy", long + b" " * (1 << 25))
  tracemalloc.start()
  try:
    with pytest.raises(ValueError, match="no plain array: a header of"):
      npz_files.find(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
  finally:
    tracemalloc.stop()


_GOOD = "{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }"


@pytest.mark.parametrize(
  "text",
  [
    "",
    "(" * 4000,
    "-" * 4000 + "1",
    "{" * 4000,
    "[" * 150 + "]" * 150,
    _GOOD[:-3],
    _GOOD.replace("4,", "1" * 4000),
    _GOOD.replace("4,", "4 4"),
    _GOOD.replace("4,", "-4,"),
    _GOOD.replace("|u1", "|u9"),
    _GOOD.replace("'|u1'", "[('a', '|u1')]"),
    _GOOD.replace("False", "None"),
    "\x1b[2J",
  ],
)
def test_odd_headers_are_refused_in_one_line(tmp_path, text):
  path = write(tmp_path, 1, columns(4))

  def put(text):
    data = len(text).to_bytes(2, "little") + text.encode()
    _replace(path, "actions.npy", b"\x93NUMPY\x01\x00" + data + bytes(4))

  put(_GOOD)  # as some write it, without the blanks at the end
  assert npz_files.find(tmp_path)[0].steps == 4
  put(text)
  with pytest.raises(
    ValueError, match=r"0001\.npz: actions: no plain"
  ) as error:
    npz_files.find(tmp_path)
  assert str(error.value).isprintable() and len(str(error.value)) < 400


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_arrays_packed_by_other_methods_are_refused(tmp_path, method):
  path = write(tmp_path, 1, columns(2))
  with zipfile.ZipFile(path) as old:
    entries = {name: old.read(name) for name in old.namelist()}
  with zipfile.ZipFile(path, "w", method) as new:
    for name, content in entries.items():
      new.writestr(name, content)
  with pytest.raises(ValueError, match=r"0001\.npz: entry .* is packed by"):
    npz_files.find(tmp_path)


def test_damaged_files_are_named(tmp_path):
  path = write(tmp_path, 1, columns(4))
  whole = path.read_bytes()
  for data in (b"", b"text", whole[:-40], whole[: len(whole) // 2]):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"transitions_0001\.npz"):
      _read_all(npz_files.find(tmp_path)[0])
  flipped = bytearray(whole)
  flipped[len(whole) // 4] ^= 0xFF  # inside the frames
  path.write_bytes(flipped)
  with pytest.raises(ValueError, match=r"transitions_0001\.npz: damaged zip"):
    _read_all(npz_files.find(tmp_path)[0])


def test_what_is_written_numpy_reads(tmp_path):
  arrays = columns(7)
  path = tmp_path / "transitions_0001.npz"
  packed = frame_codec.pack_grey(arrays["obs"][..., 0])
  with npz_files.Writer(path, 7, has_ram=True) as writer:
    for part in (slice(0, 4), slice(4, 7)):
      rows = {name: array[part] for name, array in arrays.items()}
      writer.write(rows | {"obs": packed[part]})
    assert not path.exists()
  with np.load(path, allow_pickle=False) as found:
    assert set(found) == set(arrays)
    for name, array in arrays.items():
      np.testing.assert_array_equal(found[name], array)
      assert found[name].dtype == array.dtype
  assert list(tmp_path.iterdir()) == [path]


def test_a_failed_writer_leaves_nothing(tmp_path):
  rows = columns(2)
  rows["obs"] = frame_codec.pack_grey(rows["obs"][..., 0])
  path = tmp_path / "transitions_0001.npz"
  with pytest.raises(KeyError):
    with npz_files.Writer(path, 2, has_ram=True) as writer:
      writer.write(rows)
      raise KeyError
  with pytest.raises(ValueError, match="expected 3 rows"):
    with npz_files.Writer(path, 3, has_ram=True) as writer:
      writer.write(rows)
  assert list(tmp_path.iterdir()) == []
