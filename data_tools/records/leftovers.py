"""What killed writers of shards left half-written."""

from collections.abc import Callable
import pathlib

from data_tools.records import shards as shards_lib
from data_tools.system import files

# A manifest follows its shard at once.
_ORPHAN_S = 60.0


def remove(
  directory: pathlib.Path, is_mine: Callable[[str], bool]
) -> list[str]:
  """Removes half-written shards, and returns their names.

  Files of others are left alone until they are old: they may be open. So is
  for a while a shard without a manifest, which a process of a killed writer
  may be about to write.

  Args:
    directory: of the shards.
    is_mine: whether nobody else writes files of such a name.
  """
  removed = []
  for path in sorted(directory.iterdir()):
    whole = path.suffix == shards_lib.SHARD_SUFFIX
    if not whole and path.suffix != shards_lib.TEMPORARY_SUFFIX:
      continue
    if whole and path.with_suffix(shards_lib.MANIFEST_SUFFIX).exists():
      continue
    mine = is_mine(path.name)
    try:
      # What is mine and half-written goes at once, whatever its date.
      if (mine and not whole) or files.is_older(
        path, _ORPHAN_S if mine else files.ABANDONED_S
      ):
        path.unlink()
        removed.append(path.name)
    except FileNotFoundError:
      pass  # its writer was quicker
  return removed
