"""Rewards of many episodes at once, a row of each at a time.

What `rewards.RewardTracker` says of the rows of one episode, for episodes that
go on side by side: calls into numpy cost as much for one row as for many.
"""

from collections.abc import Mapping

import numpy as np

from data_tools.game import battles
from data_tools.game import ram_addresses as ram
from data_tools.game import rewards
from pokedreamer_jax import specs

_MAPS = 256


class RewardStreams:
  """Rewards of `N` episodes, each begun by `restart`."""

  def __init__(self, count: int):
    """Begins all of them."""
    self._rows = np.zeros((count, ram.RAM_BYTES), np.uint8)
    self._state: dict[str, np.ndarray] = {}
    self._started = np.zeros(count, bool)  # a game was seen running
    self._most = {name: np.zeros(count, np.int64) for name in _RISING}
    self._hall_of_fame = np.zeros(count, np.int64)
    self._visited = np.zeros((count, _MAPS), bool)
    self._battles = battles.BattleStreams(count)

  def restart(self, number: int) -> None:
    """Episode `number` is over, and another begins."""
    for array in self._arrays():
      array[number] = 0
    self._battles.restart(number)

  def keep(self, number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is known of an episode, for `go_back` of any of these streams.

    It has been judged up to a row, at least one.
    """
    arrays = [array[number].copy() for array in self._arrays()]
    return arrays, self._battles.keep(number)

  def go_back(
    self, number: int, kept: tuple[list[np.ndarray], list[np.ndarray]]
  ) -> None:
    """Episode `number` is again where one was when it was kept."""
    arrays, battles_kept = kept
    if not self._state:
      count, last = len(self._started), arrays[-len(_REMEMBERED) :]
      self._state = {
        name: np.zeros((count, *value.shape), value.dtype)
        for name, value in zip(_REMEMBERED, last, strict=True)
      }
    for array, value in zip(self._arrays(), arrays, strict=True):
      array[number] = value
    self._battles.go_back(number, battles_kept)

  def update(
    self, which: np.ndarray, rows: np.ndarray, state: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """Judges the next row of some episodes.

    Args:
      which: episodes `[K]`, each once.
      rows: their copied memory `[K, RAM_BYTES]` uint8.
      state: the same rows decoded by `game_state.decode`.

    Returns:
      As `RewardTracker.update`, `[K, ...]`.
    """
    if not self._state:
      count = len(self._started)
      self._state = {
        name: np.zeros((count, *state[name].shape[1:]), state[name].dtype)
        for name in _REMEMBERED
      }
    # Views where all go on, copies else: what is kept is written at the end.
    at = slice(None) if _all(which, len(self._started)) else which
    running = state["game_running"]
    before = {name: array[at] for name, array in self._state.items()}
    before["rows"] = self._rows[at]
    paid = before["game_running"] & running
    self._start(which, at, state)
    terms = np.zeros((len(rows), specs.NUM_REWARD_TERMS), np.float32)
    for name, counted in _RISING.items():
      most = self._most[name]
      now = np.maximum(most[at], counted(state) * running)
      terms[:, rewards.TERM[name]] = now - most[at]
      most[at] = now
    terms[:, rewards.TERM["new_maps"]] = self._new_maps(which, state)
    xp, hp_lost = rewards.party_changes(before, state, rows)
    terms[:, rewards.TERM["xp"]] = xp
    terms[:, rewards.TERM["hp_lost"]] = hp_lost
    outcome, kind = self._battles.update(at, rows, state)
    rewards.pay(terms, paid, outcome, kind)
    self._rows[at] = rows
    for name, array in self._state.items():
      array[at] = state[name]
    return {"reward_terms": terms, **self._reached(at, state)}

  def again(
    self, which: np.ndarray, state: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """As `update` of rows that were judged: once more they pay nothing."""
    terms = np.zeros((len(which), specs.NUM_REWARD_TERMS), np.float32)
    return {"reward_terms": terms, **self._reached(which, state)}

  def _reached(self, at, state) -> dict[str, np.ndarray]:
    """Maps that were seen, and whether the game is beaten."""
    visited = np.packbits(self._visited[at], axis=1, bitorder="little")
    beaten = state["hall_of_fame"] > self._hall_of_fame[at]
    return {
      "visited_maps": visited,
      "is_terminal": state["game_running"] & beaten,
    }

  def _start(self, which, at, state) -> None:
    """Takes what games hold when they are first seen running."""
    new = state["game_running"] & ~self._started[at]
    if not new.any():
      return
    self._started[at] |= new
    for name, counted in _RISING.items():
      self._most[name][which[new]] = counted(state)[new]
    self._hall_of_fame[which[new]] = state["hall_of_fame"][new]

  def _new_maps(self, which, state) -> np.ndarray:
    """First visits `[K]`."""
    here = which, state["map_id"].astype(np.int64)
    new = state["game_running"] & ~self._visited[here]
    self._visited[here] |= state["game_running"]
    return new

  def _arrays(self) -> list[np.ndarray]:
    """All that is kept of episodes, `[N, ...]`."""
    return [
      *(self._rows, self._started, self._hall_of_fame, self._visited),
      *self._most.values(),
      *self._state.values(),
    ]


def _all(which: np.ndarray, count: int) -> bool:
  """Whether these are all episodes, in order."""
  return len(which) == count and bool((which == np.arange(count)).all())


# Fields of the row before that something is paid by.
_REMEMBERED = (
  *("game_running", "party_size", "party_species", "party_xp", "party_hp"),
)

# Terms that count against the most so far.
_RISING = {
  "badges": lambda state: np.bitwise_count(state["badges"]).astype(np.int64),
  "species": lambda state: state["dex_owned"].astype(np.int64),
}
