import errno
import os
import socket

import pytest

from data_tools.system import files


def test_a_regular_file_is_read_up_to_a_size(tmp_path):
  (tmp_path / "file").write_bytes(b"abc")
  (tmp_path / "link").symlink_to(tmp_path / "file")
  assert files.read(tmp_path / "link", 3) == b"abc"
  with pytest.raises(OSError, match="larger than") as error:
    files.read(tmp_path / "file", 2)
  assert error.value.errno == errno.EFBIG


def test_pipes_sockets_devices_and_folders_are_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  with socket.socket(socket.AF_UNIX) as server:
    server.bind(str(tmp_path / "socket"))
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero", "/dev/tty"):
      with pytest.raises(OSError):
        files.read(path, 1 << 20)
    with pytest.raises(OSError):
      files.read(tmp_path / "socket", 1 << 20)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_syncs_no_folders_does_without(
  tmp_path, monkeypatch, number
):
  def fsync(descriptor):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(os, "fsync", fsync)
  files.sync_folder(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
  def fsync(descriptor):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  monkeypatch.setattr(os, "fsync", fsync)
  with pytest.raises(OSError):
    files.sync_folder(tmp_path)


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
  now = (tmp_path / "new.tmp").touch() or os.stat(tmp_path / "new.tmp").st_mtime
  for name, age_s in [
    ("old.tmp", 7 * 3600),
    ("future.tmp", -400 * 24 * 3600),
    ("soon.tmp", -60),
    ("old.json", 7 * 3600),
  ]:
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (now - age_s, now - age_s))
  assert files.remove_abandoned(tmp_path) == ["future.tmp", "old.tmp"]
  left = sorted(path.name for path in tmp_path.iterdir())
  assert left == ["new.tmp", "old.json", "soon.tmp"]
