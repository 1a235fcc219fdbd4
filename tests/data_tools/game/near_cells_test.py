"""Cells that one walks to from another: only as records walked, each alike."""

import collections

import numpy as np
import pytest

from data_tools.game import near_cells
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
  found = near_cells.NearCells()
  for rows in episodes:
    found.add(rows)
  return found


def test_steps_lead_on_from_episode_to_episode_and_never_back():
  near = _near(
    _rows((1, 0, 0), (1, 0, 1), (1, 0, 1), (1, 0, 2)),
    _rows((1, 0, 1), (1, 1, 1), (1, 3, 1), (1, 3, 2)),
  )
  assert near.around((1, 0, 0), 9) == [
    [(1, 0, 1)],
    [(1, 0, 2), (1, 1, 1)],
    [(1, 3, 1)],  # over a ledge
    [(1, 3, 2)],
  ]
  assert near.around((1, 0, 0), 2) == near.around((1, 0, 0), 9)[:2]
  assert near.around((1, 0, 2), 9) == []  # nobody walked on from there
  near.add(_rows((1, 0, 2), (1, 0, 3)))
  assert near.around((1, 0, 2), 9) == [[(1, 0, 3)]]


@pytest.mark.parametrize(
  ("cells", "fields"),
  [
    ([(1, 0, 0), (2, 0, 1)], {}),  # another map
    ([(1, 0, 0), (1, 0, 3)], {}),  # carried there
    ([(1, 0, 0), (1, 1, 1)], {}),  # across
    ([(1, 0, 0), (1, 0, 1)], {"is_first": [True, True]}),
    ([(1, 0, 0), (1, 0, 1)], {"has_control": [True, False]}),
    ([(1, 0, 0), (1, 0, 1)], {"game_running": [False, True]}),
    ([(1, 0, 0), (1, 0, 0), (1, 0, 1)], {"in_battle": [0, 1, 0],
                                         "has_control": [1, 0, 1]}),
  ],
)  # fmt: skip
def test_what_is_no_step_leads_nowhere(cells, fields):
  assert _near(_rows(*cells, **fields)).around((1, 0, 0), 9) == []


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
  assert {(g.map_id, g.y, g.x) for g in given} <= stood
  for t, row in enumerate(drawn):
    if not rows["game_running"][t]:
      assert set(row) == {goal_specs.NONE}
    maps = {goal.map_id for goal in row} - {None}
    assert maps <= {int(rows["map_id"][t])}
  # None of them is reached already.
  for goal in sorted(given, key=str)[:10]:
    asked = [t for t, row in enumerate(drawn) if goal in row]
    held = (rows["y"][asked] == goal.y) & (rows["x"][asked] == goal.x)
    assert not held.any()
