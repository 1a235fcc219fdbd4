"""The eight reward terms, unweighted, from consecutive states of an episode.

Terms are hard to farm. Badges, species and maps count against the most that
the episode has seen, so losing and regaining pays nothing; experience and HP
count only between two rows with the very same party, so deposits, swaps and
trades pay nothing; a battle is won only when an enemy that was seen alive ends
without HP, the game says "won", and nobody fled. What the game already held
when it began to run (badges of a save, its first map) pays nothing.
"""

import numpy as np

from data_tools.game import battles
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from pokedreamer_jax import specs

TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}
_POSITIVE = [
  i for i, n in enumerate(specs.REWARD_TERMS) if n not in ("hp_lost", "stuck")
]
_RUNNING = ram.column(ram.STATUS_FLAGS_6)
_ENTRIES = ram.column(ram.HALL_OF_FAME)


class RewardTracker:
  """Rewards of one episode, chunk by chunk in order.

  The result does not depend on where an episode is cut into chunks.
  """

  def __init__(self) -> None:
    self._last: tuple[np.ndarray, dict[str, np.ndarray]] | None = None
    self._started = False  # a game was seen running
    self._badges = 0  # most badges seen
    self._species = 0  # most species seen
    self._hall_of_fame = 0  # entries when the game began to run
    self._visited = np.zeros(256, bool)
    self._battles = battles.BattleTracker()

  def update(
    self, rows: np.ndarray, state: dict[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """Judges the next `T` rows of the episode.

    Args:
      rows: copied memory `[T, RAM_BYTES]` uint8.
      state: the same rows decoded by `game_state.decode`.

    Returns:
      `reward_terms` `[T, 8]` float32, received on arriving at each row;
      `visited_maps` `[T, 32]` uint8; `is_terminal` `[T]` bool.
    """
    terms = np.zeros((len(rows), specs.NUM_REWARD_TERMS), np.float32)
    running = state["game_running"]
    before = self._with_last_row(rows, state)  # the row before each row
    paid = before["game_running"] & running
    self._start(state)
    terms[:, TERM["badges"]], self._badges = _rises(
      np.bitwise_count(state["badges"]), running, self._badges
    )
    terms[:, TERM["species"]], self._species = _rises(
      state["dex_owned"], running, self._species
    )
    terms[:, TERM["new_maps"]], visited = self._new_maps(state)
    xp, hp_lost = party_changes(before, state, rows)
    terms[:, TERM["xp"]] = xp
    terms[:, TERM["hp_lost"]] = hp_lost
    outcome, kind = self._battles.update(rows, state)
    pay(terms, paid, outcome, kind)
    self._last = (rows[-1:].copy(), {k: v[-1:] for k, v in state.items()})
    return {
      "reward_terms": terms,
      "visited_maps": np.packbits(visited, axis=1, bitorder="little"),
      "is_terminal": running & (state["hall_of_fame"] > self._hall_of_fame),
    }

  def _with_last_row(self, rows, state):
    """Fields of the preceding rows `[T, ...]`, and their `rows`."""
    if self._last is None:
      # Nothing precedes the first row: a row without a running game.
      last_rows = np.zeros_like(rows[:1])
      last = {name: np.zeros_like(array[:1]) for name, array in state.items()}
    else:
      last_rows, last = self._last
    before = {
      name: np.concatenate([last[name], array[:-1]])
      for name, array in state.items()
    }
    before["rows"] = np.concatenate([last_rows, rows[:-1]])
    return before

  def _start(self, state) -> None:
    """Takes what the game holds when it is first seen running."""
    if self._started or not state["game_running"].any():
      return
    first = int(np.argmax(state["game_running"]))
    self._started = True
    self._badges = int(np.bitwise_count(state["badges"][first]))
    self._species = int(state["dex_owned"][first])
    self._hall_of_fame = int(state["hall_of_fame"][first])

  def _new_maps(self, state):
    """First visits `[T]` and the visited set of each row `[T, 256]`."""
    here = np.zeros((len(state["map_id"]), 256), bool)
    running = np.flatnonzero(state["game_running"])
    here[running, state["map_id"][running]] = True
    visited = np.logical_or.accumulate(
      np.concatenate([self._visited[None], here])
    )
    self._visited = visited[-1]
    new = here & ~visited[:-1]
    return new.any(axis=1), visited[1:]


def pay(
  terms: np.ndarray, paid: np.ndarray, outcome: np.ndarray, kind: np.ndarray
) -> None:
  """Completes terms `[T, 8]`: battles, rows that pay nothing, and being stuck.

  Args:
    terms: of badges, species, maps, experience and HP; changed.
    paid: rows `[T]` bool before and on which a game runs: that on which it
      begins is nobody's achievement.
    outcome: of the battle that is over on a row, `[T]`.
    kind: of that battle, `[T]`.
  """
  won = outcome == battles.Outcome.WIN
  terms[:, TERM["wild_wins"]] = won & (kind == game_state.WILD)
  terms[:, TERM["trainer_wins"]] = won & (kind == game_state.TRAINER)
  terms[~paid] = 0
  progress = terms[:, _POSITIVE].any(axis=1)
  terms[:, TERM["stuck"]] = paid & ~progress


def no_rewards(length: int) -> dict[str, np.ndarray]:
  """What `RewardTracker.update` says of a game that nobody can read."""
  return {
    "reward_terms": np.zeros((length, specs.NUM_REWARD_TERMS), np.float32),
    "visited_maps": np.zeros((length, 32), np.uint8),
    "is_terminal": np.zeros(length, bool),
  }


def _rises(
  counts: np.ndarray, running: np.ndarray, most: int
) -> tuple[np.ndarray, int]:
  """Rises `[T]` of the running maximum of `counts` `[T]`, and its end."""
  seen = np.concatenate([[most], np.where(running, counts, 0)])
  highest = np.maximum.accumulate(seen)
  return np.diff(highest), int(highest[-1])


def party_changes(before, state, rows) -> tuple[np.ndarray, np.ndarray]:
  """Experience gained and HP lost `[T]` by an unchanged party.

  Args:
    before: fields of the preceding rows, and their `rows`.
    state: fields of these rows.
    rows: copied memory `[T, RAM_BYTES]` uint8.
  """
  xp = state["party_xp"].astype(np.int64) - before["party_xp"]
  lost = before["party_hp"].astype(np.int64) - state["party_hp"]
  if not xp.any() and not lost.any():  # most rows, whoever they belong to
    return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
  size = state["party_size"]
  marks, marks_before = rows[:, _MARKS], before["rows"][:, _MARKS]
  same = (marks == marks_before) | ~_MEANT[size]
  # Twins can change places unseen; then one of them seems to lose experience.
  kept = same.all(axis=1) & (before["party_size"] == size)
  kept &= (xp >= 0).all(axis=1)
  return xp.sum(axis=1) * kept, np.maximum(lost, 0).sum(axis=1) * kept


# What tells one party from another: species and birth marks of each slot,
# `[6 * 5]` columns; and which of them mean something, by size: `[7, 6 * 5]`.
_MARKS = np.array(
  [
    ram.column(address)
    for slot in range(ram.PARTY_SLOTS)
    for address in (
      ram.PARTY_SPECIES + slot,
      *(
        ram.PARTY + ram.PARTY_STRIDE * slot + offset + k
        for offset in (ram.OT_ID_OFFSET, ram.DVS_OFFSET)
        for k in (0, 1)
      ),
    )
  ]
)
_MEANT = np.repeat(
  np.tri(ram.PARTY_SLOTS + 1, ram.PARTY_SLOTS, -1, bool),
  len(_MARKS) // ram.PARTY_SLOTS,
  axis=1,
)


class EndOfGame:
  """Row by row what `is_terminal` says of whole chunks."""

  def __init__(self) -> None:
    self._entries: int | None = None  # when the game was first seen running

  def update(self, row: np.ndarray) -> bool:
    """Whether the game is beaten at the next row `[RAM_BYTES]` uint8."""
    if not row[_RUNNING] & 1:
      return False
    entries = int(row[_ENTRIES])
    if self._entries is None:
      self._entries = entries
    return entries > self._entries
