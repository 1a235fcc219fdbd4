"""Clocks of what happens by itself: water, people who breathe, menus.

A picture shows at which of its phases animated water is, not how long it has
been there, so nobody can say from pictures alone when it moves on. The engine
of the great vale counts that in memory, where its linker put it: addresses are
those of one ROM, found by watching which bytes count, and tested against the
pictures. Of other games nothing is known, and all is zero.

A menu in which nobody decides is left after some time, which is counted on the
program's stack: right above the address to which the engine's wait for a button
returns. What lies below that is left over from calls before, so of several such
places the highest one counts, and none where there is no menu.
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
  menu_return: int  # where the wait of a menu returns to


# ROM SHA-1 -> its clocks.
KNOWN = {
  "b20b160c4eb90abbb7825f81b7793fd9514262d2": Clocks(  # great_vale.gb
    tile_wait=ram.TILE_CLOCK,
    tile_rows=ram.TILE_CLOCK + 1,
    figure_wait=ram.FIGURE_CLOCK + 1,
    figure_phase=ram.FIGURE_CLOCK,
    menu_return=0x0C55,
  )
}


def decode(
  rows: np.ndarray, rom_sha1: str, menu_open: np.ndarray
) -> dict[str, np.ndarray]:
  """The fields `specs.CLOCK_FIELDS` `[T]` of copied memory.

  Args:
    rows: `[T, RAM_BYTES]` uint8.
    rom_sha1: whose memory it is.
    menu_open: `[T]` bool, whether a menu waits for a button.
  """
  found = KNOWN.get(rom_sha1)
  if found is None:
    return nothing(len(rows))
  byte = {
    name: rows[:, ram.column(getattr(found, name))].copy()
    for name in ("tile_wait", "figure_wait", "figure_phase")
  }
  first = ram.column(found.tile_rows)
  byte["tile_phase"] = _turns(rows[:, first : first + ram.TILE_BYTES])
  byte["menu_wait"] = _menu_wait(rows, found.menu_return) * menu_open
  return byte


def nothing(length: int) -> dict[str, np.ndarray]:
  """The clocks of a game whose clocks are not known."""
  return {
    field.name: np.zeros(length, field.dtype)
    for field in specs.RAM_FIELDS
    if field.name in specs.CLOCK_FIELDS
  }


def _menu_wait(rows: np.ndarray, returns_to: int) -> np.ndarray:
  """The number `[T]` uint16 above the highest such address on the stack."""
  first = ram.column(ram.STACK)
  stack = rows[:, first : first + ram.STACK_BYTES].astype(np.uint16)
  words = stack[:, :-1] | stack[:, 1:] << 8
  at = words[:, :-2] == returns_to
  # Seen from the end, the first one.
  last = at.shape[1] - 1 - at[:, ::-1].argmax(axis=1)
  number = words[np.arange(len(words)), last + 2]
  return number * at.any(axis=1)


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
