"""Cells and doors near another: only as records walked, each distance alike."""

import collections

import numpy as np
import pytest

from data_tools.game import near_goals
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from tests.data_tools import goal_rows


def _rows(*cells, **fields):
  """Rows on cells `(map, y, x)` of one episode, in which one could walk."""
  rows = specs.empty_steps(len(cells))
  rows["is_first"][0] = True
  rows["game_running"][:] = rows["has_control"][:] = True
  rows["map_id"], rows["y"], rows["x"] = np.array(cells, np.uint8).T
  for name, values in fields.items():
    rows[name][:] = values
  return rows


def _near(*episodes):
  found = near_goals.NearGoals()
  for rows in episodes:
    found.add(rows)
  return found


def _said(near, cell, most=9):
  """What is around a cell, as words without the kind."""
  return [
    [str(goal).removeprefix("reach ") for goal in ring]
    for ring in near.around(cell, most)
  ]


def test_steps_lead_on_from_episode_to_episode_and_never_back():
  near = _near(
    _rows((1, 0, 0), (1, 0, 1), (1, 0, 1), (1, 0, 2)),
    _rows((1, 0, 1), (1, 1, 1), (1, 3, 1), (1, 3, 2)),
  )
  assert _said(near, (1, 0, 0)) == [
    ["tile 1 0 1"],
    ["tile 1 0 2", "tile 1 1 1"],
    ["tile 1 3 1"],  # over a ledge
    ["tile 1 3 2"],
  ]
  assert _said(near, (1, 0, 0), 2) == _said(near, (1, 0, 0))[:2]
  assert _said(near, (1, 0, 2)) == []  # nobody walked on from there
  near.add(_rows((1, 0, 2), (1, 0, 3)))
  assert _said(near, (1, 0, 2)) == [["tile 1 0 3"]]


def test_a_door_is_the_map_behind_it_where_it_is_nearest():
  near = _near(
    _rows((1, 0, 0), (1, 0, 1), (2, 5, 5), (2, 5, 6)),
    _rows((1, 0, 1), (1, 0, 2), (2, 5, 9)),
    _rows((2, 5, 6), (1, 0, 0)),
  )
  assert _said(near, (1, 0, 0)) == [
    ["tile 1 0 1"],
    ["tile 1 0 2", "map 2"],
  ]
  assert _said(near, (2, 5, 5)) == [["tile 2 5 6"], ["map 1"]]


@pytest.mark.parametrize(
  ("cells", "fields"),
  [
    ([(1, 0, 0)] + [(2, 0, 1)] * 13, {"has_control": [1] + [0] * 12 + [1]}),
    ([(1, 0, 0), (1, 0, 3)], {}),  # carried there
    ([(1, 0, 0), (1, 1, 1)], {}),  # across
    ([(1, 0, 0), (1, 0, 1)], {"is_first": [True, True]}),
    ([(1, 0, 0), (1, 0, 1)], {"has_control": [True, False]}),
    ([(1, 0, 0), (1, 0, 1)], {"game_running": [False, True]}),
    ([(1, 0, 0), (1, 0, 0), (1, 0, 1)], {"in_battle": [0, 1, 0],
                                         "has_control": [1, 0, 1]}),
    ([(1, 0, 0), (2, 9, 9), (2, 9, 9)], {"in_battle": [0, 1, 0],
                                         "has_control": [1, 0, 1]}),
  ],
)  # fmt: skip
def test_what_is_no_step_leads_nowhere(cells, fields):
  assert _said(_near(_rows(*cells, **fields)), (1, 0, 0)) == []


def test_distances_are_drawn_alike_then_cells():
  near = _near(
    _rows((1, 0, 0), (1, 0, 1), (1, 0, 2)),
    _rows((1, 0, 0), (1, 1, 0)),
    _rows((1, 0, 1), (1, 0, 2)),
    _rows((1, 0, 2), (1, 0, 3)),
  )
  rows = _rows(*[(1, 0, 0)] * 6000)
  drawn = near.draw(rows, np.random.default_rng(0), 5, 1)
  count = collections.Counter((g.y, g.x) for (g,) in drawn)
  # One, two and three steps away.
  expected = {(0, 1): 1 / 6, (1, 0): 1 / 6, (0, 2): 1 / 3, (0, 3): 1 / 3}
  assert count.keys() == expected.keys()
  for cell, share in expected.items():
    assert abs(count[cell] / 6000 - share) < 0.02, cell


def test_where_there_is_a_door_three_goals_of_ten_are_doors():
  near = _near(*[_rows((1, 0, x), (1, 0, x + 1)) for x in range(9)],
               _rows((1, 0, 9), (2, 0, 0)))  # fmt: skip
  rows = _rows(*[(1, 0, 0)] * 3000)
  drawn = [g.kind for (g,) in near.draw(rows, np.random.default_rng(0), 12, 1)]
  # One of the ten distances is the door's.
  assert abs(drawn.count("map") / 3000 - (0.3 + 0.7 * 0.1)) < 0.03


def test_of_played_rows_every_goal_is_a_cell_that_was_stood_on():
  rows = goal_rows.played("chapter_one")
  near = _near(rows)
  drawn = near.draw(rows, np.random.default_rng(0), 12, 3)
  free = rows["game_running"] & rows["has_control"]
  stood = {
    tuple(int(rows[n][t]) for n in ("map_id", "y", "x"))
    for t in np.flatnonzero(free)
  }
  given = {goal for row in drawn for goal in row} - {goal_specs.NONE}
  assert len(given) > 20
  tiles = {(g.map_id, g.y, g.x) for g in given if g.kind == "tile"}
  assert tiles <= stood
  maps = {g.map_id for g in given if g.kind == "map"}
  assert len(maps) > 1 and maps <= {map_id for map_id, _, _ in stood}
  for t, row in enumerate(drawn):
    if not rows["game_running"][t]:
      assert set(row) == {goal_specs.NONE}
    for goal in set(row) - {goal_specs.NONE}:
      here = goal.map_id == rows["map_id"][t]
      assert here == (goal.kind == "tile")
  # None of them is reached already.
  for goal in sorted(given, key=str)[-10:]:
    assert goal.kind == "tile"
    asked = [t for t, row in enumerate(drawn) if goal in row]
    held = (rows["y"][asked] == goal.y) & (rows["x"][asked] == goal.x)
    assert not held.any()
