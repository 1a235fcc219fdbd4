"""Other random numbers for a game, at one moment and without delay.

A game that waits for a frame has other luck afterwards, but what moves by
itself is a frame late as well, and its luck may still be like the old one.
Where it is known in which bytes a game keeps what its chance comes from, these
are replaced: all else goes on as it would have. The addresses are those of the
practice cartridges' programs, found as the two bytes that go on from frame to
frame as the engine's generator does.
"""

from typing import Any

import numpy as np

# ROM SHA-1 -> addresses of the bytes.
KNOWN = {
  "6aa27909e4088f783233545aa35fa7eb649fbb6d": (0xC816, 0xC817),  # chapter one
  "b20b160c4eb90abbb7825f81b7793fd9514262d2": (0xC81D, 0xC81E),  # great vale
}


def is_known(rom_sha1: str) -> bool:
  """Whether `change` knows where the game keeps its chance."""
  return rom_sha1 in KNOWN


def change(memory: Any, rom_sha1: str, seed: int) -> None:
  """Replaces the game's random numbers from here on.

  Args:
    memory: of the running game, to be written to.
    rom_sha1: the game.
    seed: of the new bytes, which are above 0.

  Raises:
    KeyError: it is not known where they are.
  """
  rng = np.random.default_rng(seed)
  for address in KNOWN[rom_sha1]:
    memory[address] = int(rng.integers(1, 256))
