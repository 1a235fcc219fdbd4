"""Records as an earlier version of the program wrote them.

`schema_2.tar.xz` is a whole run directory of `collect_data` from when the
schema version was 2: two episodes of 70 steps of chapter one.
"""

import pathlib
import tarfile

_ARCHIVE = pathlib.Path(__file__).with_name("schema_2.tar.xz")


def unpack(directory):
  """Makes the run directory at `directory`; returns it."""
  with tarfile.open(_ARCHIVE) as archive:
    archive.extractall(directory, filter="data")
  return directory
