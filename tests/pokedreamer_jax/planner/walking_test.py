"""Ways on foot over recorded cells, and what the planner makes of them."""

import dataclasses
import itertools

import numpy as np

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import knowledge
from pokedreamer_jax.planner import offline
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import walking
from tests.pokedreamer_jax.planner import games


def _known(*maps, ways=(), jumps=(), milestones=()):
  """Knowledge of maps as lines of cells, numbered from 1, from row 0 on."""
  return knowledge.from_json(
    {
      "format": 1,
      "about": {},
      "maps": [
        {"map_id": i, "rows": 9, "top": 0, "left": 0, "cells": list(lines)}
        for i, lines in enumerate(maps, 1)
      ],
      "ways": [{"start": a, "end": b, "count": 3} for a, b in ways],
      "jumps": [{"start": a, "end": b, "count": 3} for a, b in jumps],
      "milestones": [
        {"goal": goal, "nth": 1, "share": 1.0, "env_steps": 9.0, "at": at}
        for goal, at in milestones
      ],
      "healing": [],
    }
  )


def _edges(known, start):
  """All pairs of cells that a step leads between."""
  walked = {
    (map_id, y, x) for map_id, m in known.maps.items() for y, x in m.walked()
  }
  leads = {(way.start, way.end) for way in (*known.ways, *known.jumps)}
  stood = walked | {start} | {end for _, end in leads}
  steps = {
    (a, b)
    for a in stood
    for b in walked
    if a[0] == b[0] and abs(a[1] - b[1]) + abs(a[2] - b[2]) == 1
  }
  return steps | leads


def _distances(edges, start):
  """Steps to every cell that can be reached, by relaxation over all edges."""
  found = {start: 0}
  while True:
    nearer = {
      b: found[a] + 1
      for a, b in edges
      if a in found and found[a] + 1 < found.get(b, 1 << 30)
    }
    if not nearer:
      return found
    found |= nearer


def test_ways_are_shortest_and_none_is_invented():
  rng = np.random.default_rng(0)
  for _ in range(20):
    maps = [
      ["".join(rng.choice(list("..#?"), 5)) for _ in range(4)] for _ in "ab"
    ]
    ends = rng.integers(4, size=(3, 4)).tolist()
    ways = [
      ([m, *cells[:2]], [n, *cells[2:]])
      for (m, n), cells in zip(((1, 2), (2, 1), (1, 2)), ends, strict=True)
    ]
    jumps = [([1, 0, 1], [1, 2, 1])]
    known = _known(*maps, ways=ways, jumps=jumps)
    walks = walking.Walks(known)
    start = (1, 0, 1)
    edges = _edges(known, start)
    expected = _distances(edges, start)
    for cell in [(m, y, x) for m in (1, 2) for y in range(4) for x in range(5)]:
      path = walks.path(start, lambda c, wanted=cell: c == wanted)
      assert (path is None) == (cell not in expected), cell
      if path is not None:
        assert len(path) == expected[cell]
        steps = [start, *path]
        assert set(itertools.pairwise(steps)) <= edges


def test_steps_that_nobody_took_are_taken_only_where_there_is_no_other_way():
  known = _known(["...", "..."], ["..."])
  start, end = (1, 0, 0), (1, 0, 2)
  path = lambda *barred: walking.Walks(
    dataclasses.replace(known, barred=frozenset(barred))
  ).path(start, lambda cell: cell == end)
  straight = [(1, 0, 1), (1, 0, 2)]
  assert path() == straight
  assert path(((1, 0, 1), (1, 0, 0))) == straight  # the other direction
  around = [(1, 1, 0), (1, 1, 1), (1, 0, 1), (1, 0, 2)]
  assert path(((1, 0, 0), (1, 0, 1))) == around
  shut = [((1, 0, 0), (1, 0, 1)), ((1, 0, 0), (1, 1, 0))]
  assert path(*shut) == straight
  # One such step opens no other: here it is the lower one.
  shut.append(((1, 0, 1), (1, 0, 2)))
  lower = [(1, 1, 0), (1, 1, 1), (1, 1, 2), (1, 0, 2)]
  assert path(*shut) == lower


def test_what_is_near_is_no_further_than_that():
  walks = walking.Walks(_known(["....."]))
  for cells, near in ((3, False), (4, True)):
    assert walks.is_near((1, 0, 0), {(1, 0, 4)}, cells) == near
  assert walks.is_near((1, 0, 4), {(1, 0, 4)}, 0)
  assert not walks.is_near((1, 0, 0), {(2, 0, 0)}, 99)


def _planner(known, stride=0):
  """The planner of a game, as `ask(reason, row) -> words` of the first goal."""
  planner = offline.OfflinePlanner(known)
  progress = games.followed()

  def ask(reason, **row):
    progress.update(games.row(**row))
    last = schema.LastGoal(None, "none", 0, None)
    request = requests.make(
      progress, known, reason, goal_specs.NONE, last, schema.Switches()
    )
    reply = planner.answer(request, progress)
    return games.first(known, reply, request.state, stride)

  return ask


def test_whoever_knows_what_to_do_leaves_for_where_it_has_been():
  lines = [".."]
  ways = [([1, 0, 0], [n, 0, 0]) for n in (2, 3)] * 2
  badge = [("earn badge 0", [1, 0, 1])]
  here = {"map_id": 1, "y": 0, "x": 0}
  goals = []
  for milestones in (badge, []):
    known = _known(*(lines, lines, lines), ways=ways, milestones=milestones)
    ask = _planner(known)
    ask("start", map_id=3, y=0, x=0)
    ask("area", **here)
    found = {ask("stuck", **here) for _ in range(8)}
    goals.append({goal for goal in found if "map" in goal})
  assert goals[0] == {"reach map 3"}
  assert "reach map 2" in goals[1]


# Map 1 has two halves; the badge on map 3 is behind the upper one, which map 2
# leads to.
_HALVES = _known(
  *([".....", "?????", "....."], ["....."], ["....."]),
  ways=[
    ([1, 0, 4], [3, 0, 0]),
    ([1, 2, 4], [2, 0, 0]),
    ([2, 0, 4], [1, 0, 0]),
  ],
  milestones=[("earn badge 0", [3, 0, 3])],
)


def test_the_next_map_is_the_one_that_can_be_walked_to():
  ask = _planner(_HALVES)
  assert ask("start", map_id=1, y=0, x=2) == "reach map 3"
  assert ask("area", map_id=1, y=2, x=2) == "reach map 2"
  # Nothing is known of the cell it stands on: over the maps.
  assert ask("area", map_id=1, y=9, x=9) == "reach map 3"


def test_through_the_right_one_of_two_doors():
  # Map 2 has two halves, and map 1 a door to each; the badge is in the right
  # one, whose door is the further one.
  known = _known(
    *(["." * 21], ["....?...."]),
    ways=[
      ([1, 0, 9], [2, 0, 0]),
      ([1, 0, 20], [2, 0, 8]),
      ([2, 0, 0], [1, 0, 9]),
      ([2, 0, 8], [1, 0, 20]),
    ],
    milestones=[("earn badge 0", [2, 0, 6])],
  )
  ask = _planner(known)
  # The wrong half: back, and there not through the door it came from.
  assert ask("start", map_id=2, y=0, x=0) == "reach map 1"
  assert ask("reached", map_id=1, y=0, x=9) == "reach tile 1 0 17"
  assert ask("reached", map_id=1, y=0, x=17) == "reach map 2"  # the nearer door
  assert ask("reached", map_id=2, y=0, x=8) == "earn badge 0"


def test_who_is_led_gets_the_next_cell_of_the_way_up_to_its_end():
  lines = ["." * 20, "." + "?" * 19, "." * 20]
  known = _known(
    *(lines, ["............"]),
    ways=[([1, 2, 19], [2, 0, 0])],
    milestones=[("earn badge 0", [2, 0, 11])],
  )
  ask = _planner(known, stride=8)
  # Three cells back, two down, three to the right again.
  assert ask("start", map_id=1, y=0, x=3) == "reach tile 1 2 3"
  assert ask("reached", map_id=1, y=2, x=3) == "reach tile 1 2 11"
  # The door is eight cells away: what lies behind it is named there.
  assert ask("reached", map_id=1, y=2, x=11) == "reach tile 1 2 19"
  assert ask("reached", map_id=1, y=2, x=18) == "reach tile 1 2 19"
  assert ask("reached", map_id=1, y=2, x=19) == "reach map 2"
  assert ask("area", map_id=2, y=0, x=0) == "reach tile 2 0 8"
  assert ask("reached", map_id=2, y=0, x=8) == "reach tile 2 0 11"
  assert ask("reached", map_id=2, y=0, x=11) == "earn badge 0"
  # Somewhere that nobody was: over the maps.
  assert ask("reached", map_id=1, y=9, x=9) == "reach map 2"
