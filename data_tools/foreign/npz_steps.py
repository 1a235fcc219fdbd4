"""Columns of the published files and step fields, each from the other.

What the files do not hold is not made up: species, levels, experience, money
and the enemy stay zero, and so do the reward terms that need them. Badges, new
maps and lost HP are judged from the memory fields. The in-battle and dialog
bits are the published ones, of tests that are known to err: a battle counts as
wild, and the text of a battle may count as dialog.
"""

import numpy as np

from data_tools.game import game_state
from data_tools.records import episodes
from pokedreamer_jax import specs

_TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}


class Converter:
  """Turns columns into step fields, chunk by chunk in order."""

  def __init__(self, behaviour: int):
    """Makes a converter; `behaviour` (an index) chose the actions."""
    self._behaviour = behaviour
    self._begin()

  def __call__(
    self, rows: dict[str, np.ndarray], is_last: bool
  ) -> dict[str, np.ndarray]:
    """Step fields of one episode's next columns.

    Args:
      rows: columns `[T, ...]`, `obs` packed; an episode start only in row 0.
      is_last: whether the episode ends with them.

    Returns:
      Every step field `[T, ...]`.
    """
    steps = specs.empty_steps(len(rows["obs"]))
    if rows["episode_starts"][0]:
      self._begin()
    steps["frame"][:] = rows["obs"]
    steps["action"][:] = rows["actions"]
    steps["behaviour"][:] = self._behaviour
    steps["is_first"][:] = rows["episode_starts"]
    if is_last:  # nobody recorded what the last action led to
      steps["is_last"][-1] = True
      steps["action"][-1] = specs.PASS
      steps["behaviour"][-1] = episodes.NOBODY
    if "map_ids" in rows:
      _fill_ram(steps, rows)
      self._fill_terms(steps)
      self._last = {name: array[-1:] for name, array in steps.items()}
    return steps

  def _begin(self) -> None:
    self._badges = 0  # most badges seen
    self._visited = np.zeros(256, bool)
    self._last = specs.empty_steps(1)  # a row without a running game

  def _fill_terms(self, steps: dict[str, np.ndarray]) -> None:
    """Badges, new maps and lost HP, as `game.rewards` counts them."""
    running, terms = steps["game_running"], steps["reward_terms"]
    before = {
      name: np.concatenate([self._last[name], steps[name][:-1]])
      for name in ("game_running", "party_hp", "party_max_hp")
    }
    lost = before["party_hp"].astype(np.int64) - steps["party_hp"]
    # Species are not recorded: the same party is one of the same full HP.
    same = (before["party_max_hp"] == steps["party_max_hp"]).all(axis=1)
    terms[:, _TERM["hp_lost"]] = np.maximum(lost, 0).sum(axis=1) * same
    counts = np.where(running, np.bitwise_count(steps["badges"]), 0)
    highest = np.maximum.accumulate([self._badges, *counts.tolist()])
    terms[:, _TERM["badges"]] = np.diff(highest)
    here = np.zeros((len(running), 256), bool)
    here[running, steps["map_id"][running]] = True
    visited = np.logical_or.accumulate([self._visited, *here])
    new = visited[1:] & ~visited[:-1]
    terms[:, _TERM["new_maps"]] = new.any(axis=1)
    steps["visited_maps"][:] = np.packbits(
      visited[1:], axis=1, bitorder="little"
    )
    # The row on which a game begins to run is nobody's achievement.
    terms[~(running & before["game_running"])] = 0
    self._badges, self._visited = int(highest[-1]), visited[-1]


def _fill_ram(
  steps: dict[str, np.ndarray], rows: dict[str, np.ndarray]
) -> None:
  # The title screen has neither a place nor a party.
  running = rows["party_max_hps"].any(axis=1)
  for name in ("map_ids", "xs", "ys", "badges"):
    running = running | (rows[name] != 0)
  steps["game_running"][:] = running
  for field, values in (
    ("map_id", rows["map_ids"]),
    ("x", rows["xs"]),
    ("y", rows["ys"]),
    ("facing", (rows["facings"] >> 2) & 3),
    ("badges", rows["badges"]),
    ("in_battle", rows["in_battles"] * np.uint8(game_state.WILD)),
    ("dialog_open", rows["dialog_opens"]),
    ("party_hp", rows["party_hps"]),
    ("party_max_hp", rows["party_max_hps"]),
    ("party_size", (rows["party_max_hps"] > 0).sum(axis=1)),
  ):
    mask = running.reshape(-1, *[1] * (values.ndim - 1))
    steps[field][:] = np.where(mask, values, 0)


def columns(
  steps: dict[str, np.ndarray], reward: np.ndarray, has_ram: bool
) -> dict[str, np.ndarray]:
  """Columns `[n, ...]` of recorded steps; `obs` stays packed.

  Args:
    steps: step fields `[n, ...]`.
    reward: `[n]`, received on arriving at each row.
    has_ram: whether memory fields are wanted.

  Raises:
    ValueError: HP that the format cannot hold.
  """
  rows = {
    "obs": steps["frame"],
    "actions": steps["action"],
    "rewards": reward,
    "episode_starts": steps["is_first"],
  }
  if not has_ram:
    return rows
  most = max(steps["party_hp"].max(), steps["party_max_hp"].max())
  if most > np.iinfo(np.int16).max:
    raise ValueError(f"party_hp: {most}, the format holds up to 32767")
  return rows | {
    "map_ids": steps["map_id"],
    "xs": steps["x"],
    "ys": steps["y"],
    "facings": steps["facing"] * np.uint8(4),
    "badges": steps["badges"],
    "in_battles": np.isin(
      steps["in_battle"], (game_state.WILD, game_state.TRAINER)
    ),
    "dialog_opens": steps["dialog_open"],
    "party_hps": steps["party_hp"].astype(np.int16),
    "party_max_hps": steps["party_max_hp"].astype(np.int16),
  }
