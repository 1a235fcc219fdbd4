"""One running game, written in the record format as it is played.

A record holds whole episodes, and a game is one: it is written chunk by chunk
to a shard under a temporary name, which becomes a shard when the game ends,
also early. A kill leaves no half shard; the trace plays such a game again.
"""

from collections.abc import Mapping
import pathlib
import secrets
from typing import Any

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import shards
from pokedreamer_jax import specs

_POLICY = specs.BEHAVIOURS.index("policy")


class Recorder:
  """Writes one episode; `close` makes it permanent."""

  def __init__(self, root: pathlib.Path, collection: episodes.Collection):
    """Begins the episode.

    Args:
      root: its folder `shards` is made.
      collection: whose first episode it is.

    Raises:
      OSError: nothing can be written there.
    """
    folder = root / generations.SHARDS_DIR
    folder.mkdir(exist_ok=True)
    plan = episodes.plan(collection, 0)
    jitter = emulator_lib.drawn_jitter(plan.seed, collection.jitter_frames)
    self._writer = shards.ShardWriter(folder, f"g-{secrets.token_hex(4)}")
    self._writer.begin(episodes.header(collection, plan, jitter))
    self._summary = episodes.Summary()
    self._rows: list[dict[str, Any]] = []
    self.steps = 0

  def add(self, row: Mapping[str, np.ndarray], action: int) -> None:
    """Takes a row.

    Args:
      row: step fields `[...]` of the game; copied.
      action: that is chosen there; not pressed where it turns out the last.

    Raises:
      OSError: the disk is full, or another.
    """
    if len(self._rows) == shards.CHUNK_STEPS:
      self._write()
    made: dict[str, Any] = {
      name: np.copy(row[name]) for name in specs.STEP_FIELD_NAMES
    }
    made |= {"action": np.uint8(action), "behaviour": np.uint8(_POLICY)}
    self._rows.append(made)
    self.steps += 1

  def close(self) -> None:
    """Ends the episode with the row added last, and writes the shard.

    Raises:
      OSError: the disk is full, or another.
    """
    if not self._rows:
      self.abandon()
      return
    nobody = np.uint8(episodes.NOBODY)
    self._rows[-1] |= {
      "action": np.uint8(specs.PASS),
      "behaviour": nobody,
      "is_last": np.bool_(True),
    }
    self._write()
    self._writer.end(self._summary.to_dict())
    self._writer.commit()

  def abandon(self) -> None:
    """Drops what was written."""
    self._writer.abandon()

  def _write(self) -> None:
    steps = {
      field.name: np.stack([row[field.name] for row in self._rows]).astype(
        field.dtype
      )
      for field in specs.STEP_FIELDS
    }
    self._writer.write(steps)
    self._summary.add(steps)
    self._rows = []
