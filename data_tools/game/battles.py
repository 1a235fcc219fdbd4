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

from collections.abc import Mapping
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
    kind = np.concatenate([self._kind, _kinds(state)])
    starts = np.concatenate([[True], kind[1:] != kind[:-1]])
    enemy_hp = np.concatenate([self._enemy_hp, game_state.enemy_hp(rows)])
    alive = _since(
      np.concatenate([self._alive, game_state.enemy_hp(rows) > 0]), starts
    )
    staged = _staged(rows)
    spoiled = _since(np.concatenate([self._spoiled, staged]), starts)
    captured = _since(
      np.concatenate([self._captured, _byte(rows, ram.CAPTURED_SPECIES) != 0]),
      starts,
    )
    over, outcome = _outcomes(
      *(kind[:-1], kind[1:], alive[:-1], enemy_hp[:-1]),
      *(spoiled[:-1], captured[:-1], rows, state),
    )
    self._kind, self._enemy_hp = kind[-1:], enemy_hp[-1:]
    self._alive, self._spoiled = alive[-1:], spoiled[-1:]
    self._captured = captured[-1:]
    return outcome, (kind[:-1] * over).astype(np.uint8)

  def read(self, memory: Any) -> Outcome:
    """Judges one moment, from anything that slices like the address space."""
    game_state.copy_ranges(memory, self._row[0])
    return Outcome(int(self.update(self._row)[0][0]))


class BattleStreams:
  """Outcomes in `N` streams of rows side by side, a row of each at a time."""

  def __init__(self, count: int):
    """Begins all streams."""
    self._kind = np.zeros(count, np.uint8)
    self._enemy_hp = np.zeros(count, np.uint16)
    self._alive = np.zeros(count, bool)
    self._spoiled = np.zeros(count, bool)
    self._captured = np.zeros(count, bool)

  def restart(self, number: int) -> None:
    """Stream `number` begins anew."""
    for array in self._arrays():
      array[number] = 0

  def keep(self, number: int) -> list[np.ndarray]:
    """What is known of a stream, for `go_back` of any of these."""
    return [array[number].copy() for array in self._arrays()]

  def go_back(self, number: int, kept: list[np.ndarray]) -> None:
    """Stream `number` is again where one was when it was kept."""
    for array, value in zip(self._arrays(), kept, strict=True):
      array[number] = value

  def update(
    self,
    which: np.ndarray | slice,
    rows: np.ndarray,
    state: Mapping[str, np.ndarray],
  ) -> tuple[np.ndarray, np.ndarray]:
    """Judges the next row of some streams; as `BattleTracker.update`, `[K]`.

    Args:
      which: streams `[K]`, each once; or a slice of them.
      rows: their copied memory `[K, RAM_BYTES]` uint8.
      state: the same rows decoded.
    """
    before, kind = self._kind[which], _kinds(state)
    # What else is kept is of a battle, and begins with it.
    if not before.any() and not kind.any():
      return np.full(len(rows), Outcome.NONE, np.uint8), kind
    hp, alive, spoiled, captured = (
      array[which] for array in self._arrays()[1:]
    )
    over, outcome = _outcomes(
      before, kind, alive, hp, spoiled, captured, rows, state
    )
    ended = (before * over).astype(np.uint8)
    enemy_hp, goes_on = game_state.enemy_hp(rows), kind == before
    self._kind[which], self._enemy_hp[which] = kind, enemy_hp
    self._alive[which] = alive & goes_on | (enemy_hp > 0)
    self._spoiled[which] = spoiled & goes_on | _staged(rows)
    catching = _byte(rows, ram.CAPTURED_SPECIES) != 0
    self._captured[which] = captured & goes_on | catching
    return outcome, ended

  def _arrays(self) -> tuple[np.ndarray, ...]:
    return (
      *(self._kind, self._enemy_hp, self._alive),
      *(self._spoiled, self._captured),
    )


def outcomes(rows: np.ndarray) -> np.ndarray:
  """`Outcome` `[T]` uint8 of one whole stream of rows `[T, RAM_BYTES]`."""
  return BattleTracker().update(rows)[0]


def _kinds(state: Mapping[str, np.ndarray]) -> np.ndarray:
  """The kind of battle `[T]` that is fought on each row, 0 for none."""
  in_battle = state["in_battle"]
  fights = (in_battle == game_state.WILD) | (in_battle == game_state.TRAINER)
  return in_battle * fights


def _staged(rows: np.ndarray) -> np.ndarray:
  """Rows `[T]` bool of which no battle is won: fled, or told by the story."""
  return (_byte(rows, ram.ESCAPED_FROM_BATTLE) != 0) | (
    _byte(rows, ram.BATTLE_TYPE) == TUTORIAL
  )


def _outcomes(
  before: np.ndarray,
  kind: np.ndarray,
  alive: np.ndarray,
  enemy_hp: np.ndarray,
  spoiled: np.ndarray,
  captured: np.ndarray,
  rows: np.ndarray,
  state: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
  """Whether a battle is over on each row `[T]`, and its `Outcome` uint8.

  Args:
    before: kind of the battle on the row before, `[T]`.
    kind: on the row.
    alive: whether up to the row before its enemy was seen alive.
    enemy_hp: on the row before.
    spoiled: whether it was staged up to then.
    captured: whether somebody was seen captured up to then.
    rows: copied memory `[T, RAM_BYTES]`.
    state: the same rows decoded.
  """
  # A trainer who steps in while a wild battle lasts: that one is over too.
  over = (before != 0) & (kind != before)
  if not over.any():
    return over, np.full(len(rows), Outcome.NONE, np.uint8)
  result = _byte(rows, ram.BATTLE_RESULT)
  lost = (
    (state["in_battle"] == game_state.BLACKOUT)
    | ~state["party_hp"].any(axis=1)
    | (result == RESULT_LOST)
  )
  left = result == RESULT_LEFT
  won = (result == 0) & alive & (enemy_hp == 0)
  outcome = np.select(
    [
      ~over,
      ~state["game_running"] | (kind != 0),
      lost,
      left & ~captured,
      spoiled,
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
  return over, outcome.astype(np.uint8)


def _since(seen: np.ndarray, starts: np.ndarray) -> np.ndarray:
  """Whether `seen` `[T]` held at or after the last of `starts` `[T]`."""
  at = np.arange(len(seen))
  last_seen = np.maximum.accumulate(np.where(seen, at, -1))
  return last_seen >= np.maximum.accumulate(np.where(starts, at, 0))


def _byte(rows: np.ndarray, address: int) -> np.ndarray:
  return rows[:, ram.column(address)]
