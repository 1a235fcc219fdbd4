"""What a planner is asked and what it may answer: containers and JSON Schema.

`schemas/request.json` and `schemas/reply.json` are written from here (`write`);
replies are held against the same schema, so that what is published is what is
enforced. What a schema cannot say of a reply is in `replies.py`.
"""

import dataclasses
import json
import pathlib
from typing import Annotated
from typing import Any

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.planner import json_schema

VERSION = 2
FOLDER = pathlib.Path(__file__).parent / "schemas"
FIGHTS = ("none", "wild", "trainer", "blackout")  # values of `in_battle`
OUTCOMES = ("none", "reached", "out of time", "stagnant", "replaced")
# Why a planner is asked; `triggers.py` says when.
TRIGGERS = (
  *("start", "reached", "progress", "area", "out of time", "stagnant"),
  *("still", "stuck", "meets", "battle", "passed"),
)
MOST_GOAL_CHARACTERS = 80
MOST_RATIONALE_CHARACTERS = 500
MOST_OPTIONS = 20


_BYTE = {"minimum": 0, "maximum": 255}
_COUNT = {"minimum": 0}
_WORDS = {"maxLength": 200}


@dataclasses.dataclass(frozen=True)
class Place:
  """A cell of a map."""

  map_id: Annotated[int, "the map's number", _BYTE]
  y: Annotated[int, "row in 16-pixel tiles, from above", _BYTE]
  x: Annotated[int, "column in 16-pixel tiles, from the left", _BYTE]


@dataclasses.dataclass(frozen=True)
class Way:
  """A way from one map to another that was walked, with both ends."""

  start: Annotated[Place, "where one leaves"]
  end: Annotated[Place, "where one arrives"]


@dataclasses.dataclass(frozen=True)
class State:
  """The game at one env step."""

  env_step: Annotated[int, "steps played before this one", _COUNT]
  map_id: Annotated[int, "the map's number", _BYTE]
  map_name: Annotated[str, "its name, or `map` and its number", _WORDS]
  x: Annotated[int, "column in 16-pixel tiles", _BYTE]
  y: Annotated[int, "row in 16-pixel tiles", _BYTE]
  facing: Annotated[
    str, "where the player looks", {"enum": list(specs.FACINGS)}
  ]
  badges: Annotated[tuple[int, ...], "numbers of badges earned", _BYTE]
  party_species: Annotated[tuple[int, ...], "species of each creature", _BYTE]
  party_level: Annotated[tuple[int, ...], "level of each", _BYTE]
  party_hp: Annotated[tuple[int, ...], "HP of each", _COUNT]
  party_max_hp: Annotated[tuple[int, ...], "full HP of each", _COUNT]
  in_battle: Annotated[str, "which battle is on", {"enum": list(FIGHTS)}]
  enemy_species: Annotated[int, "0 outside battle", _BYTE]
  enemy_is_new: Annotated[
    bool, "it can be caught, and this game has not owned its species"
  ]
  enemy_level: Annotated[int, "0 outside battle", _BYTE]
  enemy_hp: Annotated[int, "0 outside battle", _COUNT]
  dialog_open: Annotated[bool, "text is shown outside battle"]
  menu_open: Annotated[bool, "a menu's cursor is on the screen"]
  has_control: Annotated[bool, "the player can walk now"]
  game_running: Annotated[bool, "false on the title screen"]
  dex_owned: Annotated[int, "species owned", _COUNT]
  money: Annotated[int, "money carried", _COUNT]
  capture_items: Annotated[int, "items carried that catch", _COUNT]
  event_flags: Annotated[int, "story flags set", _COUNT]
  trainer_wins: Annotated[int, "trainers beaten in this game", _COUNT]
  steps_without_progress: Annotated[
    int,
    "env steps since a new map, badge, story flag, species, level or trainer",
    _COUNT,
  ]

  @property
  def cell(self) -> tuple[int, int, int]:
    """Map, row and column."""
    return self.map_id, self.y, self.x


@dataclasses.dataclass(frozen=True)
class LastGoal:
  """What became of the goal before this request."""

  goal: Annotated[str | None, "its words, null for none", _WORDS]
  outcome: Annotated[str, "what became of it", {"enum": list(OUTCOMES)}]
  env_steps: Annotated[int, "for how long it was pursued", _COUNT]
  stopped_at: Annotated[Place | None, "where the player stood at its end"]


@dataclasses.dataclass(frozen=True)
class Option:
  """A goal that can be chosen here."""

  goal: Annotated[str, "the words to answer with", _WORDS]
  reason: Annotated[str, "why it is offered", _WORDS]
  way: Annotated[Way | None, "both ends, where it leads to another map"]
  value: Annotated[
    float | None,
    "how near it seems to the policy, 1 at hand, 0 out of reach",
    {"minimum": 0, "maximum": 1},
  ]


@dataclasses.dataclass(frozen=True)
class Milestone:
  """A goal with the env step on which it was reached."""

  goal: Annotated[str, "its words", _WORDS]
  env_step: Annotated[int, "when", _COUNT]


@dataclasses.dataclass(frozen=True)
class Switches:
  """Which knowledge a request carries; written into results as they are."""

  map_graph: Annotated[bool, "ways between maps, from experience"] = True
  walkability: Annotated[bool, "cells walked and blocked nearby"] = True
  visited_cells: Annotated[bool, "cells this game stood on"] = True
  milestones: Annotated[bool, "what this game has reached so far"] = True
  walkthrough: Annotated[bool, "what demonstrations reached next"] = False


@dataclasses.dataclass(frozen=True)
class Crop:
  """The surroundings as text: one character a cell, one line a row.

  `@` the player, `o` stood on in this game, `.` stood on in records, `#` found
  blocked there, `?` not known.
  """

  top: Annotated[int, "row of the first line", _BYTE]
  left: Annotated[int, "column of the first character", _BYTE]
  rows: Annotated[tuple[str, ...], "lines from above", _WORDS]


@dataclasses.dataclass(frozen=True)
class Known:
  """Knowledge from experience; what a switch leaves out is null."""

  surroundings: Annotated[Crop | None, "cells around the player"]
  milestones: Annotated[tuple[Milestone, ...] | None, "reached in this game"]
  ahead: Annotated[
    tuple[str, ...] | None,
    "what demonstrations reached after this, in order",
    _WORDS,
  ]


@dataclasses.dataclass(frozen=True)
class NamedMap:
  """A map that a goal may name, and what is known of it."""

  map_id: Annotated[int, "the map's number", _BYTE]
  name: Annotated[str, "its name, or `map` and its number", _WORDS]
  cells: Annotated[int | None, "how many this game stood on", _COUNT] = None
  to: Annotated[
    tuple[int, ...] | None, "maps that ways lead to from here", _BYTE
  ] = None


@dataclasses.dataclass(frozen=True)
class Request:
  """What a planner is asked."""

  version: Annotated[
    int, "of this schema", {"minimum": VERSION, "maximum": VERSION}
  ]
  last_goal: Annotated[LastGoal, "what became of the goal before"]
  trigger: Annotated[str, "why the planner is asked", {"enum": list(TRIGGERS)}]
  current_goal: Annotated[str | None, "pursued until the answer", _WORDS]
  state: Annotated[State, "the game now"]
  options: Annotated[tuple[Option, ...], "goals that can be chosen"]
  knowledge: Annotated[Known, "from experience"]
  maps: Annotated[tuple[NamedMap, ...], "maps that a goal may name"]
  screenshot: Annotated[
    str | None,
    "the screen, base64 of a PNG of 160 x 144 pixels",
    {"maxLength": 65536},
  ]

  def to_json(self) -> dict[str, Any]:
    """JSON-ready."""
    return dataclasses.asdict(self)

  def to_wire(self) -> dict[str, Any]:
    """The same without what is null, false or an empty list: tokens cost."""
    return _lean(self.to_json())


def _lean(value: Any) -> Any:
  if isinstance(value, dict):
    parts = ((key, _lean(part)) for key, part in value.items())
    # 0 equals False, and says something.
    return {
      key: part
      for key, part in parts
      if not (part is None or part is False or part == [])
    }
  if isinstance(value, (list, tuple)):
    return [_lean(part) for part in value]
  return value


@dataclasses.dataclass(frozen=True)
class Reply:
  """A goal that was named, and why."""

  goal: goal_specs.Goal
  rationale: str = ""
  at: tuple[int, int, int] | None = None  # map, y, x: where; not on the wire

  def to_json(self) -> dict[str, Any]:
    """JSON-ready, as in `schemas/reply.json`."""
    vector = goal_embeddings.embed_goal(self.goal)
    return {
      **self.to_wire(),
      "predicate": self._predicate(),
      "goal_embedding": vector.tolist(),
    }

  def to_trace(self) -> dict[str, Any]:
    """What a trace keeps: no vector, and where, if that was said."""
    at = {} if self.at is None else {"at": list(self.at)}
    return {**self.to_wire(), "predicate": self._predicate(), **at}

  def to_wire(self) -> dict[str, Any]:
    """What a service is asked for: the rest follows from the words."""
    return {"goal": str(self.goal), "rationale": self.rationale}

  def _predicate(self) -> dict[str, Any]:
    return {name: getattr(self.goal, name) for name in PREDICATE_FIELDS}


PREDICATE_FIELDS = ("kind", "map_id", "y", "x", "number")


def request_schema() -> dict[str, Any]:
  """JSON Schema of `Request.to_json`."""
  schema = json_schema.of(Request)
  schema["properties"]["options"]["maxItems"] = MOST_OPTIONS
  return {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Request to a planner",
    **schema,
  }


def reply_schema() -> dict[str, Any]:
  """JSON Schema of a reply; predicate and vector may be left out."""
  wire = wire_schema()
  properties = wire["properties"]
  properties["goal"]["maxLength"] = MOST_GOAL_CHARACTERS
  properties["rationale"]["maxLength"] = MOST_RATIONALE_CHARACTERS
  kinds = {"type": "string", "enum": list(goal_specs.PREDICATES)}
  numbers = {
    name: {"type": ["integer", "null"], "description": meaning, **_BYTE}
    for name, meaning in (
      ("map_id", "of kinds map and tile"),
      ("y", "row, of kind tile"),
      ("x", "column, of kind tile"),
      ("number", "of kinds badge, own and level"),
    )
  }
  predicate = json_schema.closed_object({"kind": kinds, **numbers})
  properties["predicate"] = {
    "description": "the same goal; null is the same as none",
    "anyOf": [predicate, {"type": "null"}],
  }
  properties["goal_embedding"] = {
    "description": "the goal's fixed vector; null is the same as none",
    "type": ["array", "null"],
    "items": {"type": "number"},
    "minItems": goal_embeddings.DIM,
    "maxItems": goal_embeddings.DIM,
  }
  return {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Reply of a planner",
    **wire,
  }


def wire_schema() -> dict[str, Any]:
  """What language models are asked for: what they alone know, and no limits.

  Predicate and vector follow from the words, and every token is paid for. Some
  services refuse limits of numbers and lengths in a schema.
  """
  return json_schema.closed_object(
    {
      "goal": {"type": "string", "description": "words of an option"},
      "rationale": {"type": "string", "description": "why, in a few words"},
    }
  )


def write(folder: pathlib.Path = FOLDER) -> None:
  """Writes the published schemas."""
  for name, schema in files().items():
    (folder / name).write_text(schema, encoding="utf-8")


def files() -> dict[str, str]:
  """File name -> text of each published schema."""
  made = {"request.json": request_schema(), "reply.json": reply_schema()}
  return {name: json.dumps(s, indent=1) + "\n" for name, s in made.items()}
