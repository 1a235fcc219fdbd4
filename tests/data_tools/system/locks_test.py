import errno
import fcntl
import os

import pytest

from data_tools.system import locks


def test_a_lock_is_held_once_and_again_when_it_is_free(tmp_path):
  with locks.Lock(tmp_path / ".lock") as lock:
    assert lock.works
    with pytest.raises(locks.Taken):
      locks.Lock(tmp_path / ".lock")
  locks.Lock(tmp_path / ".lock").close()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_in_one_line(
  tmp_path, monkeypatch, capsys, number
):
  def flock(descriptor, operation):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, "flock", flock)
  with locks.Lock(tmp_path / ".lock") as lock:
    assert not lock.works
  line = capsys.readouterr().err
  assert line.startswith(f"{tmp_path}: no locks on this file system")
  assert line.count("\n") == 1
