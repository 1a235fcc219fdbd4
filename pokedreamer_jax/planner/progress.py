"""What a running game has reached, row by row: states and what just happened.

Reads the step fields of one game and keeps what a planner asks for: maps and
cells seen, what was gained for the first time, and for how long nothing was.
"""

from collections.abc import Mapping
import dataclasses

import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.planner import schema

# The step fields that are read.
FIELDS = (
  *("is_first", "reward_terms", "map_id", "x", "y", "facing", "in_battle"),
  *("dialog_open", "menu_open", "badges", "party_size", "party_species"),
  *("party_hp", "party_max_hp", "party_level", "dex_owned", "money"),
  *("capture_items", "enemy_species", "enemy_hp", "enemy_level"),
  "event_flags",
  *("has_control", "game_running"),
)
# What counts as progress; a planner is asked anew after those of `REPLAN`.
GAINS = ("area", "badge", "story", "species", "level", "trainer")
REPLAN = {"area": "area", "badge": "progress", "story": "progress"}
_WILD = 1
_CATCH_ROWS = 10  # after a battle, in which what was caught may be counted
_FIGHTS = {0: "none", 1: "wild", 2: "trainer", 255: "blackout"}
_TRAINER = specs.REWARD_TERMS.index("trainer_wins")

Names = Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class Moment:
  """A row and what the step that arrived there brought."""

  state: schema.State
  gains: tuple[str, ...] = ()  # of `GAINS`, in their order

  @property
  def place(self) -> schema.Place:
    """Where the player stands."""
    state = self.state
    return schema.Place(state.map_id, state.y, state.x)


def is_hurt(state: schema.State, share: float) -> bool:
  """Whether the first creature has at most this share of its HP."""
  if not state.party_max_hp or not state.party_max_hp[0]:
    return False
  return state.party_hp[0] <= share * state.party_max_hp[0]


class Progress:
  """Follows one game."""

  def __init__(self, map_names: Names | None = None):
    """Names of maps by number; without one a map is `map` and its number."""
    self._names = dict(map_names or {})
    self._next_step = 0
    self._last_gain_step = 0
    self._began = False  # a game has run
    self._most = {"badge": 0, "story": 0, "species": 0, "level": 0}
    self._trainer_wins = 0
    self._enemy = 0  # species of the wild creature that was met last
    self._met_at = 0  # env step on which that was there
    self._owned: set[int] = set()  # species
    self.maps: dict[int, int] = {}  # map -> env step of the first visit
    self.cells: dict[int, set[tuple[int, int]]] = {}  # (y, x) stood on
    self.reached: list[schema.Milestone] = []
    # Story flags that were set when the game began, and cells (map, y, x) on
    # which this game set one each since.
    self.story_before = 0
    self.story_at: list[tuple[int, int, int]] = []
    self.moment: Moment | None = None

  def name(self, map_id: int) -> str:
    """The name of a map."""
    return self._names.get(map_id, f"map {map_id}")

  def update(self, row: Mapping[str, np.ndarray]) -> Moment:
    """Takes the next row.

    Args:
      row: `FIELDS` of one game, `[...]` each, copied.

    Raises:
      ValueError: fields are missing, or a second episode begins.
    """
    missing = sorted(set(FIELDS) - set(row))
    if missing:
      raise ValueError(f"step fields: missing {missing}, expected {FIELDS}")
    if bool(row["is_first"]) and self._next_step:
      raise ValueError("is_first: a second episode, expected one of its own")
    gains: tuple[str, ...] = ()
    if bool(row["game_running"]):
      gains = self._gains(row)
      self._began = True
    if gains or not bool(row["game_running"]):
      self._last_gain_step = self._next_step
    self.moment = Moment(self._state(row), gains)
    self._next_step += 1
    return self.moment

  def _gains(self, row: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What is new; what a game held when it began to run was earned by nobody.

    Numbers count against the most so far, so that what goes to and fro is
    gained once.
    """
    found = []
    now = {
      "badge": int(row["badges"]).bit_count(),
      "story": int(row["event_flags"]),
      "species": int(row["dex_owned"]),
      "level": int(row["party_level"][0]),
    }
    map_id = int(row["map_id"])
    if map_id not in self.maps:
      self.maps[map_id] = self._next_step
      found.append("area")
    if not self._began:
      self.story_before = now["story"]
    elif now["story"] > self._most["story"]:
      cell = map_id, int(row["y"]), int(row["x"])
      self.story_at += [cell] * (now["story"] - self._most["story"])
    for name, value in now.items():
      if value > self._most[name]:
        self._most[name] = value
        found.append(name)
    self._follow_species(row, "species" in found)
    won = int(row["reward_terms"][_TRAINER])
    self._trainer_wins += won
    if won:
      found.append("trainer")
    if bool(row["has_control"]):
      cells = self.cells.setdefault(map_id, set())
      cells.add((int(row["y"]), int(row["x"])))
    gains = (
      tuple(name for name in GAINS if name in found) if self._began else ()
    )
    self.reached += [
      schema.Milestone(self._words(name, map_id, now), self._next_step)
      for name in gains
    ]
    return gains

  def _follow_species(
    self, row: Mapping[str, np.ndarray], gained: bool
  ) -> None:
    """Which species there are: those of the party, and what was caught."""
    size = int(row["party_size"])
    self._owned.update(np.asarray(row["party_species"])[:size].tolist())
    if gained and self._enemy:
      self._owned.add(self._enemy)  # it may have gone to a box
    if int(row["in_battle"]) == _WILD:
      self._enemy, self._met_at = (
        int(row["enemy_species"]) or self._enemy,
        self._next_step,
      )
    elif self._next_step - self._met_at > _CATCH_ROWS:
      self._enemy = 0  # what is gained later is another one

  def _words(self, name: str, map_id: int, now: dict[str, int]) -> str:
    return {
      "area": f"reach map {map_id}",
      "badge": "earn badge",
      "story": "advance story",
      "species": f"own {now['species']} species",
      "level": f"reach level {now['level']}",
      "trainer": "win trainer battle",
    }[name]

  def _state(self, row: Mapping[str, np.ndarray]) -> schema.State:
    size = int(row["party_size"])
    running = bool(row["game_running"])
    map_id, badges = int(row["map_id"]), int(row["badges"])

    def members(name: str) -> tuple[int, ...]:
      return tuple(np.asarray(row[name])[:size].tolist())

    return schema.State(
      env_step=self._next_step,
      map_id=map_id,
      map_name=self.name(map_id) if running else "no game running",
      x=int(row["x"]),
      y=int(row["y"]),
      facing=specs.FACINGS[int(row["facing"]) % len(specs.FACINGS)],
      badges=tuple(bit for bit in range(8) if badges >> bit & 1),
      party_species=members("party_species"),
      party_level=members("party_level"),
      party_hp=members("party_hp"),
      party_max_hp=members("party_max_hp"),
      in_battle=_FIGHTS.get(int(row["in_battle"]), "none"),
      enemy_species=int(row["enemy_species"]),
      enemy_is_new=int(row["in_battle"]) == _WILD
      and int(row["enemy_species"]) not in {0, *self._owned},
      enemy_level=int(row["enemy_level"]),
      enemy_hp=int(row["enemy_hp"]),
      dialog_open=bool(row["dialog_open"]),
      menu_open=bool(row["menu_open"]),
      has_control=bool(row["has_control"]),
      game_running=running,
      dex_owned=int(row["dex_owned"]),
      money=int(row["money"]),
      capture_items=int(row["capture_items"]),
      event_flags=int(row["event_flags"]),
      trainer_wins=self._trainer_wins,
      steps_without_progress=self._next_step - self._last_gain_step,
    )
