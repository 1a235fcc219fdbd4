"""Goals: words and arrays lead back to the goal, bad values to one line."""

import numpy as np
import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax.goal_specs import Goal

_NAMES = {5: "Pallet Town", 6: "hall", 7: "twin", 8: "TWIN", 300: "far"}

# One of each kind, and the words of some.
_GOALS = {
  "no goal": Goal("none"),
  "reach map 5": Goal("map", map_id=5),
  "reach tile 5 12 7": Goal("tile", map_id=5, y=12, x=7),
  "earn badge": Goal("badge"),
  "earn badge 0": Goal("badge", number=0),
  "win battle": Goal("win"),
  "win wild battle": Goal("win_wild"),
  "win trainer battle": Goal("win_trainer"),
  "win leader battle": Goal("win_leader"),
  "catch new species": Goal("catch"),
  "own 3 species": Goal("own", number=3),
  "heal": Goal("heal"),
  "heal party": Goal("heal_party"),
  "reach level 9": Goal("level", number=9),
  "get capture item": Goal("item"),
  "advance story": Goal("story"),
  "talk": Goal("talk"),
  "explore new map": Goal("explore"),
  "Find the lost key!": Goal("text", text="Find the lost key!"),
}


def _random_goals(count):
  rng = np.random.default_rng(0)
  goals = []
  for kind in rng.choice(goal_specs.KINDS[:-1], count):
    names = goal_specs.ARGUMENTS.get(kind, ())
    values = {name: int(rng.integers(1, 8)) for name in names}
    goals.append(Goal(str(kind), **values))
  return goals


def test_every_kind_is_among_the_examples():
  assert {goal.kind for goal in _GOALS.values()} == set(goal_specs.KINDS)


@pytest.mark.parametrize(("words", "goal"), _GOALS.items())
def test_words_lead_to_the_goal_and_back(words, goal):
  assert str(goal) == words
  assert goal_specs.parse(words) == goal
  if goal.kind != "text":
    shouted = f"  {words.upper()} ".replace(" ", "   ")
    assert goal_specs.parse(shouted) == goal


def test_arrays_lead_back_and_tell_goals_apart():
  goals = [*_GOALS.values(), *_random_goals(300)]
  arrays = goal_specs.stack(goals)
  assert arrays.shape == (len(goals), goal_specs.SIZE)
  assert arrays.dtype == np.int32
  for goal, row in zip(goals, arrays, strict=True):
    if goal.kind == "text":
      assert (row[1:] >= 0).all()
    else:
      assert goal_specs.from_array(row) == goal
      assert goal_specs.parse(str(goal)) == goal
  assert len(np.unique(arrays, axis=0)) == len(set(goals))
  assert goal_specs.stack([]).shape == (0, goal_specs.SIZE)


def test_the_layout_is_as_stored_arrays_have_it():
  # Recorded tables hold these numbers: a kind keeps its place.
  assert goal_specs.KINDS == (
    *("none", "map", "tile", "badge", "win", "win_wild", "win_trainer"),
    *("win_leader", "catch", "own", "heal", "heal_party", "level", "item"),
    *("story", "talk", "explore", "text"),
  )
  rows = goal_specs.stack(
    goal_specs.parse(w) for w in ("reach tile 5 12 7", "earn badge", "talk")
  )
  assert rows.tolist() == [[2, 5, 12, 7], [3, -1, -1, -1], [15, -1, -1, -1]]


def test_a_text_leaves_its_mark():
  one, same, other = (
    Goal("text", text=t) for t in ("go west", "go west", "go east")
  )
  assert one == same and hash(one) == hash(same)
  assert (one.to_array() == same.to_array()).all()
  assert (one.to_array() != other.to_array()).any()


def test_names_of_maps_stand_for_their_ids():
  parse = lambda text: goal_specs.parse(text, _NAMES)
  assert parse("reach map HALL") == Goal("map", map_id=6)
  assert parse("Reach map pallet  town") == Goal("map", map_id=5)
  assert parse("reach tile Pallet Town 3 4") == Goal("tile", 5, y=3, x=4)
  assert parse("reach map 6") == Goal("map", map_id=6)


@pytest.mark.parametrize(
  ("text", "line"),
  [
    ("reach map cellar", r"'cellar': no map, expected 0 to 255 or one of \['P"),
    ("reach map twin", "several maps have this name"),
    ("reach map far", "goal.map_id: 300, expected a whole number 0 to 255"),
    ("reach map 256", "goal.map_id: 256, expected"),
    ("reach tile 5 1", "expected 'reach tile MAP Y X'"),
    ("reach tile 5 one 2", "'one', expected a whole number"),
    ("reach tile 5 1 256", "goal.x: 256, expected"),
    ("earn badge 8", "goal.number: 8, expected a whole number 0 to 7"),
    ("earn badge leaf", "'leaf', expected a whole number"),
    ("own 0 species", "goal.number: 0, expected a whole number 1 to 255"),
    ("reach level 99999999999", "'99999999999', expected a whole number"),
    ("", "goal.text: '', expected 1 to 200 printable"),
    ("x" * 201, "expected 1 to 200 printable"),
    ("a\x1bb", "expected 1 to 200 printable"),
  ],
)
def test_bad_words_are_refused_in_one_line(text, line):
  with pytest.raises(ValueError, match=line) as error:
    goal_specs.parse(text, _NAMES)
  assert "\n" not in str(error.value)


def test_other_words_are_a_text_or_refused():
  goal = goal_specs.parse("own a  lot of species")
  assert goal == Goal("text", text="own a lot of species")
  with pytest.raises(ValueError, match="names no predicate, expected words"):
    goal_specs.parse("dance", free_text=False)


@pytest.mark.parametrize(
  ("values", "line"),
  [
    (dict(kind="fly"), "goal.kind: 'fly', expected one of"),
    (dict(kind="map"), "goal.map_id: None, expected a whole number"),
    (dict(kind="map", map_id=-1), "goal.map_id: -1"),
    (dict(kind="map", map_id=True), "goal.map_id: True"),
    (dict(kind="map", map_id=1.0), "goal.map_id: 1.0"),
    (dict(kind="map", map_id=1, y=2), "goal.y: 2, expected None for kind"),
    (dict(kind="talk", number=2), "goal.number: 2, expected None for kind"),
    (dict(kind="talk", text="hello"), "goal.text: 'hello', expected ''"),
    (dict(kind="text"), "goal.text: ''"),
    (dict(kind="text", text="two  spaces"), "parted by single spaces"),
    (dict(kind="text", text="Win Battle"), "names a predicate"),
  ],
)
def test_bad_fields_are_refused_in_one_line(values, line):
  with pytest.raises(ValueError, match=line):
    Goal(**values)


def test_numbers_of_numpy_are_numbers():
  goal = Goal("map", map_id=np.uint8(7))
  assert goal == Goal("map", map_id=7) and type(goal.map_id) is int


@pytest.mark.parametrize(
  ("row", "line"),
  [
    ([18, -1, -1, -1], "kind 18, expected 0 to 17"),
    ([-1, -1, -1, -1], "kind -1"),
    ([1, 5, 0, -1], "expected -1 behind the 1 arguments of kind 'map'"),
    ([1, -1, -1, -1], "goal.map_id: None"),
    ([1, 5, -1], r"int64\[3\], expected whole numbers \[4\]"),
    ([1.0, 5.0, -1.0, -1.0], r"float64\[4\], expected whole numbers"),
    ([17, 1, 2, 3], "kind 'text'"),
  ],
)
def test_bad_arrays_are_refused(row, line):
  with pytest.raises(ValueError, match=line):
    goal_specs.from_array(np.array(row))
