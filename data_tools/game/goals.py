"""When a step reaches a goal: one predicate on two consecutive rows.

`reached` judges the recorded rows of an episode at once, `Judge` running games
row by row; both ask `judge`. Row `t` is reached by the step that arrives there.
No step arrives at the first row of an episode or leaves its last one, and no
goal is reached while no game runs (title screen: all fields are 0). A state is
reached by every step that arrives while it holds, an event by the step on which
it happens; an event needs a running game on both rows, so that what a save
holds is not earned.

  map         state  the map is this one; in battle, amid a fade and after a
                     blackout too
  tile        state  map, row and column are these and the player can walk: amid
                     a warp, in a text or in a battle that a step began,
                     coordinates are no place to be. The tile of a warp is never
                     reached: it leads on.
  badge       event  any: more badges than before; a certain one: its bit is
                     newly set. One that was lost can be earned again.
  win         event  `win_wild` or `win_trainer`
  win_wild    event  the reward terms say won (`rewards.py`: no stale fields, no
  win_trainer event  flight, nothing staged), and a battle of this kind was on
                     before and none is now, nor a blackout
  win_leader  event  more badges than before: rows do not say who a trainer is,
                     and a badge is what a leader alone gives
  catch       event  more species owned than before: caught, given or grown
                     into, rows do not say which
  own         state  at least so many species are owned
  heal        event  the first creature has all its HP and had not; no battle,
                     and map, level, most HP and species are as before. So a
                     blackout, a new level and a change of places heal nobody,
                     while a potion in the field does.
  heal_party  event  the same of all: everybody is full, somebody was not, and
                     somebody stood
  level       state  the first creature has at least this level; another
                     creature in its place may bring it
  item        event  more items that catch than before: bought, found or given;
                     rows count no others
  story       event  more story flags than before: rows hold their number alone
  talk        event  a text opens outside battle where none was open; a menu is
                     none, nor is what follows on a battle or a blackout. Who
                     began does not matter.
  explore     event  the map was not visited before in this episode
  none, text         never

A goal that already holds: a state is reached by the next step, an event has to
happen anew.
"""

from collections.abc import Mapping

import numpy as np

from data_tools.game import game_state
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs

Rows = Mapping[str, np.ndarray]

# The step fields that are read; every schema version has them.
FIELDS = (
  *("is_first", "is_last", "game_running", "map_id", "y", "x"),
  "has_control",
  *("in_battle", "dialog_open", "menu_open", "badges", "dex_owned"),
  *("party_species", "party_hp", "party_max_hp", "party_level"),
  *("capture_items", "event_flags", "visited_maps", "reward_terms"),
)
# Rows that agree in these stand on the same cell, in or out of a battle.
CELL = ("map_id", "y", "x", "in_battle")
_WILD = specs.REWARD_TERMS.index("wild_wins")
_TRAINER = specs.REWARD_TERMS.index("trainer_wins")


def reached(steps: Rows, goal: goal_specs.Goal) -> np.ndarray:
  """Whether the step that arrives at each row reaches a goal.

  Args:
    steps: `FIELDS` of consecutive rows `[T, ...]`, of one episode or several.
    goal: of `goal_specs.PREDICATES`, or none, which nothing reaches.

  Returns:
    `[T]` bool; False on the first row, and on first rows of episodes.

  Raises:
    ValueError: fields are missing, or the goal is a text.
  """
  if goal.kind == "text":
    raise ValueError(
      f"goal: {str(goal)!r} is a text, which nothing can judge; expected one "
      f"of the kinds {list(goal_specs.PREDICATES)}"
    )
  return judge(arrivals(steps), goal.to_array())


def arrivals(steps: Rows) -> dict[str, np.ndarray]:
  """What the steps that arrive at rows did, for `judge`.

  Args:
    steps: `FIELDS` of consecutive rows `[T, ...]`.

  Returns:
    Arrays `[T]`.

  Raises:
    ValueError: fields are missing.
  """
  now = _fields(steps)
  before = {k: np.concatenate([v[:1], v[:-1]]) for k, v in now.items()}
  comes = ~before["is_last"]
  comes[:1] = False
  return _arrive(before, now, comes)


class Judge:
  """Judges `N` running games, row by row; each may have its own goal."""

  def __init__(self, num_envs: int):
    self._last: dict[str, np.ndarray] | None = None
    self._comes = np.zeros(num_envs, bool)  # a step comes from the last row

  def update(self, row: Rows, goals: np.ndarray) -> np.ndarray:
    """Whether arriving at the next rows reaches their goals.

    Args:
      row: `FIELDS` of the next row of each game, `[N, ...]`; copied.
      goals: arrays `[N, goal_specs.SIZE]`; they may change from row to row.

    Returns:
      `[N]` bool; False on a game's first row, and where it stays at its last.
    """
    now = {name: array.copy() for name, array in _fields(row).items()}
    before = now if self._last is None else self._last
    found = judge(_arrive(before, now, self._comes), goals)
    self._last, self._comes = now, ~now["is_last"]
    return found

  def restart(self, which: np.ndarray) -> None:
    """The next rows of the games `which` `[N]` are the first of episodes."""
    self._comes[which] = False


def judge(arrived: Rows, goals: np.ndarray) -> np.ndarray:
  """Whether steps reach goals.

  Args:
    arrived: of `arrivals`, `[...]`.
    goals: arrays `[..., SIZE]` whose leading axes broadcast against the steps'.

  Returns:
    `[...]` bool; False for goals that are none or a text.
  """
  kind, a, b, c = np.moveaxis(goals, -1, 0)
  here = arrived["running"] & (arrived["map"] == a)
  new_badge = arrived["badge_bits"] >> np.clip(a, 0, 7) & 1
  found = {
    "map": here,
    "tile": here
    & arrived["control"]
    & (arrived["y"] == b)
    & (arrived["x"] == c),
    "badge": np.where(a < 0, arrived["badge"], new_badge != 0),
    "win": arrived["wild"] | arrived["trainer"],
    "win_wild": arrived["wild"],
    "win_trainer": arrived["trainer"],
    "win_leader": arrived["badge"],
    "own": arrived["running"] & (arrived["owned"] >= a),
    "level": arrived["running"] & (arrived["level"] >= a),
  }
  for name in _EVENTS:
    found[name] = arrived[name]
  return np.select(
    [kind == goal_specs.index(name) for name in found],
    list(found.values()),
    False,
  )


# Events without arguments, which the arrival itself says.
_EVENTS = (
  *("catch", "heal", "heal_party", "item", "story", "talk", "explore"),
)


def _arrive(
  before: Rows, now: Rows, comes: np.ndarray
) -> dict[str, np.ndarray]:
  """The arrivals `[T]` at rows `now`, where a step `comes` from `before`."""
  running = comes & ~now["is_first"] & now["game_running"]
  goes_on = running & before["game_running"]
  calm = goes_on & (before["in_battle"] == 0) & (now["in_battle"] == 0)
  stays = calm & (before["map_id"] == now["map_id"])
  over = goes_on & (now["in_battle"] == 0)
  badges = np.bitwise_count(now["badges"])
  terms = now["reward_terms"]
  return {
    "running": running,
    "map": now["map_id"].astype(int),
    "y": now["y"].astype(int),
    "x": now["x"].astype(int),
    "control": now["has_control"],
    "badge": goes_on & (badges > np.bitwise_count(before["badges"])),
    "badge_bits": np.where(goes_on, now["badges"] & ~before["badges"], 0),
    "wild": over
    & (before["in_battle"] == game_state.WILD)
    & (terms[:, _WILD] > 0),
    "trainer": over
    & (before["in_battle"] == game_state.TRAINER)
    & (terms[:, _TRAINER] > 0),
    "catch": goes_on & (now["dex_owned"] > before["dex_owned"]),
    "owned": now["dex_owned"].astype(int),
    "heal": stays & _healed(before, now, slice(1)),
    "heal_party": stays & _healed(before, now, slice(None)),
    "level": now["party_level"][:, 0].astype(int),
    "item": goes_on & (now["capture_items"] > before["capture_items"]),
    "story": goes_on & (now["event_flags"] > before["event_flags"]),
    "talk": calm
    & now["dialog_open"]
    & ~now["menu_open"]
    & ~before["dialog_open"],
    "explore": goes_on & ~_visited(before["visited_maps"], now["map_id"]),
  }


def _healed(before: Rows, now: Rows, members: slice) -> np.ndarray:
  """Whether the same members `[T]` are all full now and were not."""
  same = [
    (before[name][:, members] == now[name][:, members]).all(axis=1)
    for name in ("party_species", "party_level", "party_max_hp")
  ]
  full_before, full = (
    (rows["party_hp"][:, members] >= rows["party_max_hp"][:, members]).all(
      axis=1
    )
    for rows in (before, now)
  )
  healed = np.logical_and.reduce(same) & full & ~full_before
  if members.stop is None:  # all had fainted: that was a blackout
    healed &= before["party_hp"].any(axis=1)
  return healed


def _visited(bitmask: np.ndarray, map_id: np.ndarray) -> np.ndarray:
  """Whether maps `[T]` are in visited sets `[T, 32]`."""
  byte = np.take_along_axis(bitmask, (map_id >> 3)[:, None].astype(int), 1)
  return (byte[:, 0] >> (map_id & 7) & 1).astype(bool)


def _fields(rows: Rows) -> dict[str, np.ndarray]:
  missing = sorted(set(FIELDS) - set(rows))
  if missing:
    raise ValueError(f"step fields: missing {missing}, expected {FIELDS}")
  return {name: np.asarray(rows[name]) for name in FIELDS}
