"""A reply is dropped where it is void, and nowhere else."""

import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import passing
from tests.pokedreamer_jax.planner import games


def _why(words, *, gained=(), later=1, known=None, then=None, **now):
  """Why a reply is void that was asked for on map 1, or as `then` says."""
  before = games.row(**(then or {}))
  asked = games.request(before)
  state = games.followed(before, *[games.row(**now)] * later).moment.state
  goal = goal_specs.parse(words, free_text=False)
  world = known or games.small_world()
  return passing.why(goal, asked, state, gained, world, 100)


@pytest.mark.parametrize("gained", [(), ("area",), ("story", "level")])
@pytest.mark.parametrize("words", ["talk", "heal", "reach map 3"])
def test_what_can_still_be_pursued_is_kept(words, gained):
  # Map 3 is one that the asked knew: the request names it after a visit of 2.
  then = {"map_id": 2}
  assert _why(words, gained=gained, then=then, map_id=1) == ""


@pytest.mark.parametrize(
  ("words", "gained"),
  [
    ("explore new map", "area"),
    ("advance story", "story"),
    ("catch new species", "species"),
    ("win trainer battle", "trainer"),
    ("win battle", "trainer"),
    ("talk", "badge"),
  ],
)
def test_what_has_happened_since_is_void(words, gained):
  assert _why(words) == ""
  assert _why(words, gained=(gained,)) != ""
  assert _why(words, gained=("level",)) == ""


def test_what_holds_by_now_is_void():
  assert _why("reach map 2") == ""
  assert "holds" in _why("reach map 2", map_id=2)
  assert "holds" in _why("reach level 6", party_level=6)


def test_what_is_old_is_void():
  assert _why("talk", later=100) == ""
  assert _why("talk", later=101) == "101 env steps old"


def test_a_cell_of_a_map_that_was_left_is_void():
  assert _why("reach tile 1 0 0", y=9) == ""
  assert "left the map" in _why("reach tile 1 0 0", map_id=2)
  assert _why("reach tile 2 0 0", map_id=2) == ""


def test_a_map_that_no_way_leads_to_from_here_is_void():
  one_way = games.small_world(
    ways=[
      {"start": [1, 0, 4], "end": [2, 0, 0], "count": 3},
      {"start": [1, 0, 0], "end": [3, 2, 0], "count": 3},
    ]
  )
  assert _why("reach map 2", known=one_way, y=9) == ""
  assert "no way" in _why("reach map 2", known=one_way, map_id=3)
  # Where nobody knew a way before either, nothing has changed.
  unknown = games.small_world(ways=[])
  assert _why("reach map 2", known=unknown, map_id=3) == ""
