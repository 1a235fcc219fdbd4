"""Clocks of what moves by itself: water, and people who breathe.

A picture shows at which of its phases animated water is, not how long it has
been there, so nobody can say from pictures alone when it moves on. The engine
of the great vale counts that in memory, where its linker put it: addresses are
those of one ROM, found by watching which bytes count, and tested against the
pictures. Of other games nothing is known, and all is zero.
"""

import dataclasses

import numpy as np

from data_tools.game import ram_addresses as ram
from pokedreamer_jax import specs


@dataclasses.dataclass(frozen=True)
class Clocks:
  """Addresses of one ROM."""

  tile_wait: int  # frames since the water moved
  tile_rows: int  # its 16 bytes of pixels, which turn by a bit each time
  figure_wait: int  # frames since people moved
  figure_phase: int  # 0 or 1: a pixel higher


# ROM SHA-1 -> its clocks.
KNOWN = {
  "b20b160c4eb90abbb7825f81b7793fd9514262d2": Clocks(  # great_vale.gb
    tile_wait=ram.TILE_CLOCK,
    tile_rows=ram.TILE_CLOCK + 1,
    figure_wait=ram.FIGURE_CLOCK + 1,
    figure_phase=ram.FIGURE_CLOCK,
  )
}


def decode(rows: np.ndarray, rom_sha1: str) -> dict[str, np.ndarray]:
  """The fields `specs.CLOCK_FIELDS` `[T]` of copied memory `[T, RAM_BYTES]`."""
  found = KNOWN.get(rom_sha1)
  if found is None:
    return nothing(len(rows))
  byte = {
    name: rows[:, ram.column(address)].copy()
    for name, address in dataclasses.asdict(found).items()
  }
  first = ram.column(found.tile_rows)
  byte["tile_phase"] = _turns(rows[:, first : first + ram.TILE_BYTES])
  del byte["tile_rows"]
  return byte


def nothing(length: int) -> dict[str, np.ndarray]:
  """The clocks of a game whose clocks are not known."""
  return {name: np.zeros(length, np.uint8) for name in specs.CLOCK_FIELDS}


def _turns(pixels: np.ndarray) -> np.ndarray:
  """How often bytes `[T, 16]` were turned left, 0..7, from their least turn.

  The count is from the turn whose bytes come first in order, whichever that is:
  only differences mean something.
  """
  # Few rows differ: what is worked out once holds for all of them.
  kinds, number = np.unique(pixels, axis=0, return_inverse=True)
  doubled = kinds.astype(np.uint16) << 8 | kinds
  turned = np.stack([doubled >> k & 0xFF for k in range(8)])  # [8, kinds, 16]
  least = np.lexsort(turned.transpose(2, 1, 0)[::-1], axis=-1)[..., 0]
  return least.astype(np.uint8)[number.reshape(-1)]
