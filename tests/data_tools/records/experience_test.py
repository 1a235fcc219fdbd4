"""What records teach, against hand-made rows and a played cartridge."""

import json

import numpy as np
import pytest

from data_tools.records import experience
from data_tools.records import milestones
from pokedreamer_jax import specs
from pokedreamer_jax.planner import knowledge
from pokedreamer_jax.planner import requests
from tests.data_tools import goal_rows

_RIGHT, _UP = specs.ACTIONS.index("right"), specs.ACTIONS.index("up")
_FACING_RIGHT = specs.FACINGS.index("right")


def _episode(*rows, **last):
  """Rows as `(map, y, x)` on which the player stands, in order."""
  steps = specs.empty_steps(len(rows))
  steps["is_first"][0] = True
  steps["is_last"][-1] = True
  steps["game_running"][:] = True
  steps["has_control"][:] = True
  for t, (map_id, y, x) in enumerate(rows):
    steps["map_id"][t], steps["y"][t], steps["x"][t] = map_id, y, x
    seen = steps["visited_maps"][max(t - 1, 0)].copy()
    seen[map_id >> 3] |= 1 << (map_id & 7)
    steps["visited_maps"][t] = seen
  for name, value in last.items():
    steps[name][-1] = value
  return steps


def _learned(*episodes, demonstrates=True):
  made = experience.Experience()
  for steps in episodes:
    made.add(steps, demonstrates)
  values = json.loads(json.dumps(made.to_dict("0" * 40)))
  return knowledge.from_json(values)


def test_ways_have_both_ends_and_are_counted():
  there = _episode((1, 0, 0), (1, 0, 1), (2, 5, 5), (1, 0, 1), (2, 5, 5))
  known = _learned(there)
  assert known.ways == (
    knowledge.Way((1, 0, 1), (2, 5, 5), 2),
    knowledge.Way((2, 5, 5), (1, 0, 1), 1),
  )


def test_a_fade_lies_between_the_ends_and_a_blackout_is_no_way():
  rows = _episode((1, 0, 1), (1, 0, 1), (2, 9, 9), (2, 5, 5))
  rows["has_control"][1:3] = False
  assert _learned(rows).ways == (knowledge.Way((1, 0, 1), (2, 5, 5), 1),)
  rows["in_battle"][1] = 255
  assert _learned(rows).ways == ()
  slow = _episode((1, 0, 1), *[(1, 0, 1)] * 20, (2, 5, 5))
  slow["has_control"][1:-1] = False  # carried there, not walked
  assert _learned(slow).ways == ()


def test_cells_are_walked_blocked_or_unknown():
  rows = _episode((1, 3, 4), *[(1, 3, 5)] * 4)
  rows["action"][:] = _RIGHT
  rows["facing"][:] = _FACING_RIGHT
  known = _learned(rows)
  # Three bumps into (3, 6); the first press came to (3, 5).
  assert known.maps[1].cells == ("..#",)
  assert (known.maps[1].top, known.maps[1].left) == (3, 4)
  assert known.maps[1].at(3, 6) == "#"
  assert known.maps[1].at(9, 9) == known.maps[1].at(0, 0) == "?"
  # Turning round is no bump, and nor is what a text held up.
  rows["action"][:] = _UP
  assert _learned(rows).maps[1].cells == ("..",)
  rows["action"][:] = _RIGHT
  rows["has_control"][2] = False
  assert _learned(rows).maps[1].cells == ("..",)


def test_milestones_are_those_that_the_best_agree_on_by_their_median():
  def shown(late, badges=1, maps=(2, 3)):
    first, second = maps
    return _episode(
      (1, 0, 0), *[(first, 0, 0)] * (1 + late), (second, 0, 0), badges=badges
    )

  best = [shown(0), shown(2), shown(4), shown(1, maps=(4, 3))]
  worse = [shown(0, badges=0, maps=(5, 6))]
  known = _learned(*best, *worse)
  found = [(str(m.goal), m.nth, m.env_steps) for m in known.milestones]
  # Map 4 was seen by one of four, maps 5 and 6 by one without the badge.
  assert found == [
    ("reach map 2", 1, 1.0),
    ("earn badge 0", 1, 3.5),
    ("reach map 3", 1, 3.5),
  ]
  assert known.milestones[0].share == 0.75
  assert known.milestones[0].at == (2, 0, 0)


def _story(*cells):
  """An episode in which each cell sets a flag; a cell twice sets two."""
  rows = [(1, 0, 0)]
  steps, flags = [0], 0
  for cell in dict.fromkeys(cells):
    rows += [cell, cell]
    flags += cells.count(cell)
    steps += [steps[-1], flags]
  episode = _episode(*rows)
  episode["event_flags"][:] = steps
  return episode


def test_the_story_is_told_apart_by_where_it_went_on():
  hall, cave, shop = (2, 4, 4), (3, 1, 1), (4, 0, 9)
  # The errand in the cave at another time each; beside the hall's leader, too.
  shown = [
    _story(hall, hall, cave, shop),
    _story(cave, hall, hall, shop),
    _story(shop, (2, 4, 6), (2, 4, 6), cave),
    _story(hall, hall, (5, 0, 0), (3, 1, 5)),
  ]
  story = [m for m in _learned(*shown).milestones if m.goal.kind == "story"]
  assert [(m.nth, m.at, m.share) for m in story] == [
    (1, hall, 1.0),
    (2, hall, 1.0),
    (3, cave, 0.75),  # four cells off is another place
    (4, shop, 0.75),
  ]
  assert [m.env_steps for m in story] == [3.0, 3.0, 4.0, 6.0]
  # A place is where most were: those beside it on either side are of it.
  beside = [_story((2, 4, 1))] + [_story((2, 4, 4))] * 2 + [_story((2, 4, 7))]
  (one,) = [m for m in _learned(*beside).milestones if m.goal.kind == "story"]
  assert (one.at, one.share) == ((2, 4, 4), 1.0)
  # And where the second flag is said to be, though most set it beside it.
  twice = [_story((2, 4, 4), (2, 4, 6))] * 3 + [_story((2, 4, 4))]
  story = [m for m in _learned(*twice).milestones if m.goal.kind == "story"]
  assert [m.at for m in story] == [(2, 4, 4)] * 2
  assert milestones.SAME_PLACE == requests._NEAR  # where a game is told of it
  backwards = _learned(*shown[::-1]).milestones
  assert [m.at for m in backwards if m.goal.kind == "story"] == [
    *(hall, hall, cave, shop)
  ]


def test_who_does_not_know_the_way_teaches_the_map_alone():
  known = _learned(_episode((1, 0, 0), (2, 0, 0)), demonstrates=False)
  assert known.milestones == ()
  assert known.map_ids == (1, 2)


def test_missing_fields_are_named():
  with pytest.raises(ValueError, match=r"missing \['action'\]"):
    rows = _episode((1, 0, 0))
    del rows["action"]
    experience.Experience().add(rows, True)


def test_chapter_one_is_learned_from_one_demonstration():
  rows = goal_rows.played("chapter_one")
  known = _learned(rows)
  visited = set(np.unique(rows["map_id"][rows["game_running"]]).tolist())
  assert set(known.map_ids) == visited
  words = [str(milestone.goal) for milestone in known.milestones]
  assert words.index("reach map 2") < words.index("earn badge 0")
  steps = [milestone.env_steps for milestone in known.milestones]
  assert steps == sorted(steps)
  # Every map that was visited is reached over ways from the first.
  first = int(rows["map_id"][rows["game_running"]][0])
  assert all(known.route(first, [map_id]) is not None for map_id in visited)
  again = experience.Experience()
  again.add(rows, True)
  twice = experience.Experience()
  twice.add(rows, True)
  assert again.to_dict("x") == twice.to_dict("x")


def test_a_jump_is_over_a_cell_that_nobody_stands_on():
  over = [(1, 0, 3), (1, 2, 3)]
  known = _learned(_episode(*over, (1, 2, 4)), _episode(*over))
  assert known.jumps == (knowledge.Way((1, 0, 3), (1, 2, 3), 2),)
  assert known.ways == ()
  # Who was not seen between two cells, but has stood there, walked.
  assert _learned(_episode(*over, (1, 1, 3))).jumps == ()
  assert _learned(_episode((1, 0, 3), (1, 2, 4))).jumps == ()  # not in a line
  rows = _episode(*over)
  rows["in_battle"][1] = 1
  assert _learned(rows).jumps == ()


def test_steps_that_nobody_took_are_barred_in_that_direction():
  walk = [(1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)]
  known = _learned(_episode(*walk), _episode((1, 0, 1), (1, 0, 0)))
  assert known.barred == {
    ((1, 1, 1), (1, 0, 1)),
    ((1, 1, 0), (1, 1, 1)),
    ((1, 0, 0), (1, 1, 0)),
    ((1, 1, 0), (1, 0, 0)),
  }
  # Whoever was seen on every second cell of a walk took both steps.
  known = _learned(_episode((1, 0, 0), (1, 0, 2)), _episode((1, 0, 1)))
  assert known.barred == {((1, 0, 2), (1, 0, 1)), ((1, 0, 1), (1, 0, 0))}


def test_a_shop_is_where_money_was_paid_for_what_catches():
  rows = _episode(*[(1, 0, 0)] * 3, *[(5, 3, 3)] * 4, (6, 1, 1))
  rows["capture_items"][:] = [0, 5, 5, 5, 6, 8, 8, 9]
  rows["money"][:] = [0, 500, 500, 500, 300, 100, 100, 100]
  known = _learned(rows)
  # Given on map 1, found on map 6; two at once are half the price each.
  assert known.shops == {(5, 3, 3): 150}
  # What was bought once may never be sold there again.
  rows["y"][5] = 4
  assert _learned(rows).shops == {}
  assert _learned(rows, rows).shops == {(5, 3, 3): 200, (5, 4, 3): 100}
  rows["y"][5] = 3
  rows["money"][4:] = 499  # less than one for each
  rows["money"][5:] = 498
  rows["capture_items"][5:] = 20
  assert 0 not in _learned(rows).shops.values()
