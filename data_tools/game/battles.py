"""How battles end, from copied memory: vectorised, or one moment at a time.

The byte that names the result does not decide alone: 0 stands for a win and
for nothing at all, 2 for running and for catching, and all fields of the enemy
are stale between battles. So a battle is judged on the row where it is over,
by what was seen while it lasted:

- lost: everybody fainted, or the result says so;
- ran or caught: the result says either, a captured species was seen or not;
- won: an enemy that was seen alive ends without HP, and nobody fled;
- undecided: all else, such as an enemy that fled, a battle that is staged by
  the story, or a game that was switched off.
"""

import enum
from typing import Any

import numpy as np

from data_tools.game import game_state
from data_tools.game import ram_addresses as ram

RESULT_LOST, RESULT_LEFT = 1, 2  # values at BATTLE_RESULT
TUTORIAL = 1  # value at BATTLE_TYPE: staged, a catch is not kept


class Outcome(enum.IntEnum):
  """How the battle ended that is over on a row; `NONE` on all other rows."""

  NONE = 0
  WIN = 1
  LOSS = 2
  RAN = 3
  CAUGHT = 4
  UNDECIDED = 5


class BattleTracker:
  """Outcomes in one stream of rows, chunk by chunk in order.

  The result does not depend on where the stream is cut. A battle in which the
  stream begins counts from there; one in which it ends has no outcome.
  """

  def __init__(self) -> None:
    self._row = np.zeros((1, ram.RAM_BYTES), np.uint8)
    # The last row, with "since its battle began" instead of "on this row".
    self._kind = np.zeros(1, np.uint8)
    self._enemy_hp = np.zeros(1, np.uint16)
    self._alive = np.zeros(1, bool)
    self._spoiled = np.zeros(1, bool)
    self._captured = np.zeros(1, bool)

  def update(
    self, rows: np.ndarray, state: dict[str, np.ndarray] | None = None
  ) -> tuple[np.ndarray, np.ndarray]:
    """Judges the next `T` rows.

    Args:
      rows: copied memory `[T, RAM_BYTES]` uint8.
      state: the same rows decoded, where the caller has it already.

    Returns:
      `Outcome` `[T]` uint8, on the row where a battle is over; and `[T]` uint8
      the kind of that battle, `game_state.WILD` or `TRAINER`, 0 elsewhere.
    """
    if not len(rows):
      return np.zeros(0, np.uint8), np.zeros(0, np.uint8)
    if state is None:
      state = game_state.decode(rows)
    in_battle = state["in_battle"]
    fights = (in_battle == game_state.WILD) | (in_battle == game_state.TRAINER)
    kind = np.concatenate([self._kind, in_battle * fights])
    starts = np.concatenate([[True], kind[1:] != kind[:-1]])
    enemy_hp = np.concatenate([self._enemy_hp, game_state.enemy_hp(rows)])
    alive = _since(
      np.concatenate([self._alive, game_state.enemy_hp(rows) > 0]), starts
    )
    staged = (_byte(rows, ram.ESCAPED_FROM_BATTLE) != 0) | (
      _byte(rows, ram.BATTLE_TYPE) == TUTORIAL
    )
    spoiled = _since(np.concatenate([self._spoiled, staged]), starts)
    captured = _since(
      np.concatenate([self._captured, _byte(rows, ram.CAPTURED_SPECIES) != 0]),
      starts,
    )
    # A trainer who steps in while a wild battle lasts: that one is over too.
    over = (kind[:-1] != 0) & (kind[1:] != kind[:-1])
    result = _byte(rows, ram.BATTLE_RESULT)
    lost = (
      (in_battle == game_state.BLACKOUT)
      | ~state["party_hp"].any(axis=1)
      | (result == RESULT_LOST)
    )
    left = result == RESULT_LEFT
    won = (result == 0) & alive[:-1] & (enemy_hp[:-1] == 0)
    outcome = np.select(
      [
        ~over,
        ~state["game_running"] | fights,
        lost,
        left & ~captured[:-1],
        spoiled[:-1],
        left,
        won,
      ],
      [
        Outcome.NONE,
        Outcome.UNDECIDED,
        Outcome.LOSS,
        Outcome.RAN,
        Outcome.UNDECIDED,
        Outcome.CAUGHT,
        Outcome.WIN,
      ],
      Outcome.UNDECIDED,
    )
    self._kind, self._enemy_hp = kind[-1:], enemy_hp[-1:]
    self._alive, self._spoiled = alive[-1:], spoiled[-1:]
    self._captured = captured[-1:]
    return outcome.astype(np.uint8), (kind[:-1] * over).astype(np.uint8)

  def read(self, memory: Any) -> Outcome:
    """Judges one moment, from anything that slices like the address space."""
    game_state.copy_ranges(memory, self._row[0])
    return Outcome(int(self.update(self._row)[0][0]))


def outcomes(rows: np.ndarray) -> np.ndarray:
  """`Outcome` `[T]` uint8 of one whole stream of rows `[T, RAM_BYTES]`."""
  return BattleTracker().update(rows)[0]


def _since(seen: np.ndarray, starts: np.ndarray) -> np.ndarray:
  """Whether `seen` `[T]` held at or after the last of `starts` `[T]`."""
  at = np.arange(len(seen))
  last_seen = np.maximum.accumulate(np.where(seen, at, -1))
  return last_seen >= np.maximum.accumulate(np.where(starts, at, 0))


def _byte(rows: np.ndarray, address: int) -> np.ndarray:
  return rows[:, ram.column(address)]
