"""What episodes cover of a game: rows by map, story, badges and situation.

Each episode's counts stand in its shard's manifest, made while it was played,
so summing up a collection reads no steps. Episodes of before these counts are
read once, one after the other.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_tools.game import game_state
from data_tools.records import generations as generations_lib

KEY = "coverage"  # of an episode's summary
PARTS = ("maps", "story_flags", "badges", "situations")
SITUATIONS = (
  *("walking", "dialog", "menu", "wild battle", "trainer battle"),
  *("blackout", "no game running"),
)
_FIELDS = (
  *("map_id", "event_flags", "badges", "game_running"),
  *("in_battle", "menu_open", "dialog_open"),
)


class Coverage:
  """Counts rows, chunk by chunk.

  `maps` are ids, `story_flags` and `badges` how many are set; only rows in
  which a game runs count there.
  """

  def __init__(self) -> None:
    self._rows: dict[str, Counter[str]] = {part: Counter() for part in PARTS}

  def add(self, steps: Mapping[str, np.ndarray]) -> None:
    """Takes the next chunk of steps `[T, ...]`."""
    running = steps["game_running"]
    fights = steps["in_battle"]
    # The first that holds: a battle has menus, a menu has text around it.
    situation = np.select(
      [
        ~running,
        fights == game_state.WILD,
        fights == game_state.TRAINER,
        fights != 0,
        steps["menu_open"],
        steps["dialog_open"],
      ],
      [
        SITUATIONS.index(name)
        for name in (
          *("no game running", "wild battle", "trainer battle", "blackout"),
          *("menu", "dialog"),
        )
      ],
      SITUATIONS.index("walking"),
    )
    for part, values in (
      ("maps", steps["map_id"][running]),
      ("story_flags", steps["event_flags"][running]),
      ("badges", np.bitwise_count(steps["badges"][running])),
    ):
      self._count(part, values, str)
    self._count("situations", situation, SITUATIONS.__getitem__)

  def add_counts(self, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Takes what `to_dict` gave for other rows."""
    for part in PARTS:
      self._rows[part].update(counts[part])

  def to_dict(self) -> dict[str, dict[str, int]]:
    """JSON-ready: part -> what it is -> rows, in the order of its numbers."""
    return {
      part: dict(sorted(rows.items(), key=lambda item: _place(item[0])))
      for part, rows in self._rows.items()
    }

  def _count(self, part: str, values: np.ndarray, name: Any) -> None:
    found, rows = np.unique(values, return_counts=True)
    for value, number in zip(found.tolist(), rows.tolist(), strict=True):
      self._rows[part][name(value)] += number


def of_generation(
  generation: generations_lib.Generation, rom_sha1: str
) -> dict[str, dict[str, int]]:
  """`Coverage.to_dict` of all episodes of one ROM."""
  from data_tools.records import loader

  coverage = Coverage()
  uncounted = set()
  for _, entry in generation.episodes():
    if entry.header.rom_sha1 != rom_sha1:
      continue
    if KEY in entry.summary:
      coverage.add_counts(entry.summary[KEY])
    else:
      uncounted.add(entry.header.episode_id)
  if uncounted:
    index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
    for place, header in enumerate(index.headers):
      if header.episode_id in uncounted:
        length = int(index.lengths[place])
        coverage.add(index.read(place, 0, length, _FIELDS))
  return coverage.to_dict()


def _place(name: str) -> tuple[int, int]:
  """Numbers by size, situations as they are listed."""
  return (0, int(name)) if name.isdigit() else (1, SITUATIONS.index(name))
