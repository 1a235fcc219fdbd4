"""Archives that say something else of themselves than is true."""

import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import pytest

from data_tools.foreign import zip_files

_CENTRAL, _LOCAL, _END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
_MOST_MEMORY = 8 << 20
_METHODS = {
  "stored": zipfile.ZIP_STORED,
  "deflate": zipfile.ZIP_DEFLATED,
  "bzip2": zipfile.ZIP_BZIP2,
  "lzma": zipfile.ZIP_LZMA,
}


def _pack(content, method=zipfile.ZIP_DEFLATED, name="a"):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as file:
    file.writestr(name, content, method)
  return bytearray(buffer.getvalue())


def _say(data, size, crc=None):
  """Changes what the one entry says of its size, in both headers."""
  struct.pack_into("<I", data, data.index(_LOCAL) + 22, size)
  at = data.rindex(_CENTRAL)
  struct.pack_into("<I", data, at + 24, size)
  if crc is not None:
    struct.pack_into("<I", data, at + 16, crc)
  return bytes(data)


def _peak_of(function):
  tracemalloc.start()
  try:
    function()
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


@pytest.mark.parametrize("crc", [None, zlib.crc32(bytes(100))])
@pytest.mark.parametrize("method", _METHODS)
def test_an_entry_larger_than_it_says_is_refused_unread(method, crc):
  data = _say(_pack(bytes(64 << 20), _METHODS[method]), 100, crc)

  def read():
    with zip_files.Archive(data, "evil.zip") as archive:
      assert archive.size("a") == 100
      with pytest.raises(ValueError, match=r"^evil\.zip: .*\'a\'|CRC") as error:
        archive.read("a", 1000)
      assert "\n" not in str(error.value)

  assert _peak_of(read) < _MOST_MEMORY


def test_an_entry_smaller_than_it_says_is_refused():
  data = _say(_pack(bytes(100)), 200)
  with zip_files.Archive(data, "evil.zip") as archive:
    with pytest.raises(ValueError, match=r"evil\.zip: .*not the 200 bytes"):
      archive.read("a", 1000)


def test_what_is_within_the_limit_is_read():
  content = bytes(range(256)) * 40
  for method in ("stored", "deflate"):
    with zip_files.Archive(bytes(_pack(content, _METHODS[method]))) as archive:
      assert archive.read("a", len(content)) == content
      with archive.open("a") as file:
        assert file.read(300) == content[:300]
      with pytest.raises(ValueError, match=f"at most {len(content) - 1} all"):
        archive.read("a", len(content) - 1)


@pytest.mark.parametrize(
  "method, deflated, expected",
  [
    ("deflate", False, "expected stored$"),
    ("bzip2", True, "expected stored or deflated$"),
    ("lzma", True, "expected stored or deflated$"),
  ],
)
def test_other_methods_are_refused(method, deflated, expected):
  data = bytes(_pack(b"hello" * 100, _METHODS[method]))
  with zip_files.Archive(data, "x.zip", deflated=deflated) as archive:
    for read in (lambda: archive.read("a", 1000), lambda: archive.open("a")):
      with pytest.raises(ValueError, match=f"x.zip: entry 'a' .*{expected}"):
        read()


def test_an_endless_table_is_refused_before_it_is_unpacked():
  entry = _CENTRAL + bytes(42)
  count = 2 * zip_files.MOST_TABLE_BYTES // len(entry)
  end = struct.pack("<4s4H2IH", _END, 0, 0, 0, 0, len(entry) * count, 0, 0)
  data = entry * count + end

  def read():
    with pytest.raises(ValueError, match=r"evil\.zip: .*a table of 20"):
      zip_files.Archive(data, "evil.zip")

  assert _peak_of(read) < _MOST_MEMORY


def test_many_entries_and_names_that_occur_twice_are_refused():
  for names, message in (
    (map(str, range(zip_files.MOST_ENTRIES + 1)), "4097 entries"),
    (["a", "b", "a"], "twice"),
  ):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
      warnings.simplefilter("ignore")
      for name in names:
        file.writestr(name, b"")
    with pytest.raises(ValueError, match=f"evil.zip: .*{message}"):
      zip_files.Archive(buffer.getvalue(), "evil.zip")


def test_entries_that_hide_behind_another_are_missed():
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as file:
    for name in ("a", "b", "c"):
      file.writestr(name, b"hello")
    file.comment = b"words"
  data = bytearray(buffer.getvalue())
  with zip_files.Archive(bytes(data), "whole.zip") as archive:
    assert archive.names == ["a", "b", "c"]
  data[data.index(_CENTRAL) + 32] ^= 128  # length of the first comment
  with zipfile.ZipFile(io.BytesIO(data)) as file:
    assert file.namelist() == ["a"]
  with pytest.raises(ValueError, match=r"evil\.zip: .*1 entries, .* tells 3"):
    zip_files.Archive(bytes(data), "evil.zip")


def test_an_entry_outside_of_the_file_is_refused(tmp_path):
  for at, value in ((42, 1 << 31), (None, 1)):
    data = _pack(b"hello")
    if at is None:  # all of them a byte before the beginning
      place = data.rindex(_END) + 16
      value += struct.unpack_from("<I", data, place)[0]
    else:
      place = data.rindex(_CENTRAL) + at
    struct.pack_into("<I", data, place, value)
    path = tmp_path / "evil.zip"
    path.write_bytes(data)
    for source in (bytes(data), path):
      with zip_files.Archive(source, "evil.zip") as archive:
        with pytest.raises(ValueError, match=r"evil\.zip: .*lies outside"):
          archive.read("a", 1000)


def test_names_cannot_write_on_the_terminal():
  name = "\x1b[2J" + "long" * 1000
  data = bytes(_pack(b"hello", name=name))
  with zip_files.Archive(data, "evil.zip") as archive:
    for read in (
      lambda: archive.read(name, 1),
      lambda: archive.size(name + "x"),
    ):
      with pytest.raises(ValueError) as error:
        read()
      assert str(error.value).isprintable() and len(str(error.value)) < 200
