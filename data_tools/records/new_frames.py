"""How many frames of some episodes no other episode holds.

A frame is what the screen shows, bit by bit. Fresh play that shows nothing that
is not in the records already has nothing to teach about how the world looks.
"""

from collections.abc import Collection
import hashlib

import numpy as np

from data_tools.records import generations as generations_lib
from data_tools.records import loader


def count(
  generation: generations_lib.Generation, collections: Collection[str]
) -> dict[str, int]:
  """Frames of some collections against all others of a generation.

  Args:
    generation: holds both.
    collections: names of the collections whose frames are asked about.

  Returns:
    `frames` of these, `new`, of how many rows no other collection shows the
    frame, and `new_different`, how many different frames these are.
  """
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  mine: list[np.ndarray] = []
  others: list[np.ndarray] = []
  for header, steps in index.episodes(("frame",)):
    # Of a million different frames one is taken for another with 3e-8.
    digests = np.array([_digest(frame) for frame in steps["frame"]], np.uint64)
    if header.collection in collections:
      mine.append(digests)
    else:
      others.append(np.unique(digests))
  shown = _joined(mine)
  new = shown[~np.isin(shown, np.unique(_joined(others)))]
  return {
    "frames": len(shown),
    "new": len(new),
    "new_different": len(np.unique(new)),
  }


def _digest(frame: np.ndarray) -> int:
  digest = hashlib.blake2b(frame.tobytes(), digest_size=8).digest()
  return int.from_bytes(digest, "little")


def _joined(parts: list[np.ndarray]) -> np.ndarray:
  return np.concatenate([np.zeros(0, np.uint64), *parts])
