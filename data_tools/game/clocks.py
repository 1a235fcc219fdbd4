"""Clocks of what happens by itself: water, people who breathe, waits, bars.

A picture shows at which of its phases animated water is, not how long it has
been there, so nobody can say from pictures alone when it moves on. The engine
of the great vale counts that in memory, where its linker put it: addresses are
those of one ROM, found by watching which bytes count, and tested against the
pictures. Of other games nothing is known, and all is zero.

A menu in which nobody decides is left after some time, which is counted on the
program's stack: right above the address to which the engine's wait for a button
returns. What lies below that is left over from calls before, so of several such
places the highest one counts, and none where there is no menu.

A text goes on by itself as well, and who is struck blinks for some time. Both
are counted on the stack, too, right above the address to which the wait for the
next frame returns. Which that is, the last call made by that wait tells: where
the program waits, the address to which this call returned lies right below, and
higher than what is left over from calls before. In 3,500 rows so read of the
great vale four were wrong, in which the program did something else.

An HP bar follows the HP pixel by pixel, so for a while it shows neither what
was nor what is; how long it is drawn, its tiles say.
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
  frame_call: int  # where the last call of the wait for a frame returned to
  text_return: int  # where that wait returns to, while a button is waited for
  blink_return: int  # and while somebody blinks
  hidden_return: int  # where it returns to then, while nobody is shown
  text_frames: int  # that a text waits for at most
  own_bar: int  # address of the first of six tiles
  enemy_bar: int


_BAR_TILES, _BAR_EMPTY, _TILE_PIXELS = 6, 0x63, 8
# How often who is struck is hidden and shown, and for how many frames each.
_BLINKS, _BLINK_FRAMES = 3, 5
# Bytes above the address that the wait for a frame returns to: two words, where
# it was called from, and of blinking the row and how often there was one.
_NUMBER, _CALLER, _WAITED_FOR, _BLINKED = 2, 4, 6, 7
_PLACES = np.array([[0], [_NUMBER], [_CALLER], [_WAITED_FOR]])
_DEEPEST = 2 + _BLINKED  # bytes above the one below, whose words are read

# ROM SHA-1 -> its clocks.
KNOWN = {
  "b20b160c4eb90abbb7825f81b7793fd9514262d2": Clocks(  # great_vale.gb
    tile_wait=ram.TILE_CLOCK,
    tile_rows=ram.TILE_CLOCK + 1,
    figure_wait=ram.FIGURE_CLOCK + 1,
    figure_phase=ram.FIGURE_CLOCK,
    menu_return=0x0C55,
    frame_call=0x04B2,
    text_return=0x09FA,
    blink_return=0x3235,
    hidden_return=0x32DA,
    text_frames=288,
    own_bar=ram.screen_tile(9, 11),
    enemy_bar=ram.screen_tile(3, 2),
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
  stack, words = _stack(rows)
  byte["menu_wait"] = _menu_wait(words, found.menu_return) * menu_open
  fighting = rows[:, ram.column(ram.IN_BATTLE)] > 0
  for name in ("own_bar", "enemy_bar"):
    byte[name] = fighting.astype(np.uint8)
    if fighting.any():
      byte[name] *= _bar(rows, getattr(found, name))
  running = rows[:, ram.column(ram.STATUS_FLAGS_6)] & 1
  waits = _waits(stack, words, found)
  byte |= {name: number * running for name, number in waits.items()}
  return byte


def nothing(length: int) -> dict[str, np.ndarray]:
  """The clocks of a game whose clocks are not known."""
  return {
    field.name: np.zeros(length, field.dtype)
    for field in specs.RAM_FIELDS
    if field.name in specs.CLOCK_FIELDS
  }


def _stack(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The copied stack `[T, n]`, and the words `[T, n - 1]` at every byte."""
  first = ram.column(ram.STACK)
  stack = rows[:, first : first + ram.STACK_BYTES].astype(np.uint16)
  return stack, stack[:, :-1] | stack[:, 1:] << 8


def _menu_wait(words: np.ndarray, returns_to: int) -> np.ndarray:
  """The number `[T]` uint16 above the highest such address on the stack."""
  at = words[:, :-2] == returns_to
  # Seen from the end, the first one.
  last = at.shape[1] - 1 - at[:, ::-1].argmax(axis=1)
  number = words[np.arange(len(words)), last + 2]
  return number * at.any(axis=1)


def _waits(
  stack: np.ndarray, words: np.ndarray, found: Clocks
) -> dict[str, np.ndarray]:
  """`text_wait` uint16 and `blink_wait` uint8, `[T]` each."""
  at = words[:, :-_DEEPEST] == found.frame_call
  # Seen from the end, the first one; and where the wait for a frame returns to.
  here = at.shape[1] + 1 - at[:, ::-1].argmax(axis=1)
  waits = at.any(axis=1)
  each = np.arange(len(words))
  returns, number, caller, waited_for = words[each, here + _PLACES]
  # A menu waits for one frame at a time.
  is_text = waits & (returns == found.text_return)
  is_text &= (waited_for != found.menu_return) & (number <= found.text_frames)
  blinks = waits & (returns == found.blink_return)
  left = np.zeros(len(words), np.int64)
  if blinks.any():
    left = _BLINKS - 1 - stack[each, here + _BLINKED].astype(np.int64)
    left = 2 * left + (caller == found.hidden_return)
    left = left * _BLINK_FRAMES + number
    left *= blinks & (left > 0) & (left <= 2 * _BLINKS * _BLINK_FRAMES)
  return {
    "text_wait": number * is_text,
    "blink_wait": left.astype(np.uint8),
  }


def _bar(rows: np.ndarray, address: int) -> np.ndarray:
  """One more than the pixels `[T]` uint8 of a bar; 0 where none is drawn."""
  first = ram.column(address)
  filled = rows[:, first : first + _BAR_TILES].astype(np.int64) - _BAR_EMPTY
  drawn = ((filled >= 0) & (filled <= _TILE_PIXELS)).all(axis=1)
  return np.where(drawn, filled.sum(axis=1) + 1, 0).astype(np.uint8)


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
