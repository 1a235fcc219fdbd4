"""The way to what a planner named is the driver's own affair."""

import dataclasses

import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import driver
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import replay
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import trace
from pokedreamer_jax.planner import triggers
from pokedreamer_jax.planner import walking
from tests.pokedreamer_jax.planner import games

_PATIENT = triggers.TriggerConfig(
  goal_env_steps=20, still_env_steps=90, battle_gap_env_steps=300
)


def _long_world(**changes):
  """Map 1 is a hook of two rows of 20 cells, map 2 lies behind its end."""
  hook = {"rows": 9, "top": 0, "left": 0}
  maps = [
    {"map_id": 1, **hook, "cells": ["." * 20, "." + "?" * 19, "." * 20]},
    {"map_id": 2, **hook, "cells": ["." * 12]},
  ]
  ways = [([1, 2, 19], [2, 0, 0]), ([2, 0, 0], [1, 2, 19])]
  badge = {"nth": 1, "share": 1.0, "env_steps": 9.0, "at": [2, 0, 11]}
  return games.small_world(
    **{
      "maps": maps,
      "ways": [{"start": a, "end": b, "count": 3} for a, b in ways],
      "milestones": [{"goal": "earn badge 0", **badge}],
      "healing": [],
      **changes,
    }
  )


class _Game:
  """A driver under the offline planner, and the cell where the game is."""

  def __init__(self, known, stride=8, path=None, **config):
    settings = {"triggers": _PATIENT, **config}
    self.driver = driver.Driver(
      known, driver.DriverConfig(stride=stride, **settings), trace_path=path
    )

  def at(self, map_id, y, x, reached=False, done=False, **row):
    """The goal after a row there."""
    made = games.row(map_id=map_id, y=y, x=x, **row)
    self.driver.step(made, reached, done=done)
    return str(self.driver.goal)

  def rows(self, count, *cell, **row):
    """The goals of so many rows on a cell."""
    return [self.at(*cell, **row) for _ in range(count)]

  @property
  def asked(self):
    return self.driver.summary()["asked"]

  @property
  def led(self):
    return self.driver.summary()["led"]


def test_one_errand_is_led_to_its_end_and_nobody_is_asked():
  game = _Game(_long_world())
  assert game.at(1, 0, 3) == "reach tile 1 2 3"
  assert game.at(1, 2, 3, reached=True) == "reach tile 1 2 11"
  assert game.at(1, 2, 11, reached=True) == "reach tile 1 2 19"
  assert game.at(1, 2, 18, reached=True) == "reach tile 1 2 19"
  assert game.at(1, 2, 19, reached=True) == "reach map 2"
  assert game.asked == {"start": 1}
  # A map not seen before is an event, and the errand is the same.
  assert game.at(2, 0, 0, reached=True) == "reach tile 2 0 8"
  assert game.rows(12, 2, 0, 1) == ["reach tile 2 0 8"] * 12
  assert game.asked == {"area": 1, "start": 1}
  assert game.at(2, 0, 8, reached=True) == "reach tile 2 0 11"
  assert game.at(2, 0, 11, reached=True) == "earn badge 0"
  assert game.asked == {"area": 1, "start": 1}
  assert game.led == {"reached": 7}
  game.at(2, 0, 11, reached=True, badges=1)
  assert game.asked["reached"] == 1
  errands = game.driver.summary()["errands"]
  assert errands == {"badge": {"reached": 1}}
  assert game.driver.summary()["outcomes"]["tile"] == {"reached": 6}


def test_an_errand_that_is_done_on_the_way_asks_at_once():
  shown = {"nth": 1, "share": 1.0, "env_steps": 9.0}
  known = _long_world(
    milestones=[
      {"goal": "reach level 9", "at": [1, 2, 19], **shown},
      {"goal": "earn badge 0", "at": [1, 0, 19], **shown},
    ]
  )
  game = _Game(known)
  assert game.at(1, 0, 3) == "reach tile 1 2 3"
  game.at(1, 0, 4)
  assert str(game.driver.errand) == "reach level 9"
  assert game.at(1, 0, 4, party_level=9, done=True) == "reach tile 1 0 12"
  assert game.asked == {"reached": 1, "start": 1}
  summary = game.driver.summary()
  assert summary["errands"] == {"level": {"reached": 1}}
  assert summary["outcomes"] == {"tile": {"replaced": 1}}


def test_what_led_nowhere_is_tried_once_more_and_then_a_planner_hears_of_it():
  game = _Game(_long_world())
  assert game.at(1, 2, 2) == "reach tile 1 2 10"
  # From the same cell a nearer one.
  assert game.rows(20, 1, 2, 2)[-1] == "reach tile 1 2 6"
  assert game.led == {"out of time": 1} and game.asked == {"start": 1}
  game.rows(20, 1, 2, 2)
  assert game.asked == {"out of time": 1, "start": 1}
  # What is reached makes it patient again.
  game = _Game(_long_world())
  game.at(1, 2, 2)
  assert game.rows(20, 1, 2, 3)[-1] == "reach tile 1 2 11"  # from where it is
  game.at(1, 2, 11, reached=True)
  game.rows(20, 1, 2, 11)
  assert game.led == {"out of time": 2, "reached": 1}
  assert game.asked == {"start": 1}


def test_a_policy_that_is_not_led_gets_cells_where_a_map_led_nowhere():
  game = _Game(_long_world(), stride=0)
  assert game.at(1, 0, 3) == "reach map 2"
  assert game.rows(20, 1, 0, 3)[-1] == "reach tile 1 2 3"
  # On to the door, cell by cell.
  assert game.at(1, 2, 3, reached=True) == "reach tile 1 2 11"
  assert game.at(1, 2, 11, reached=True) == "reach tile 1 2 19"
  assert game.at(1, 2, 19, reached=True) == "reach map 2"
  assert game.at(2, 0, 0, reached=True) == "earn badge 0"
  assert game.asked == {"area": 1, "start": 1}  # the map is a new one


def test_a_battle_that_takes_long_is_to_be_won_every_second_time():
  game = _Game(_long_world())
  game.at(1, 2, 2)
  goals = [game.rows(20, 1, 2, 2, in_battle=1)[-1] for _ in range(4)]
  assert goals == ["win battle", "reach tile 1 2 10"] * 2
  assert game.asked == {"out of time": 2, "start": 1}
  assert game.led == {"out of time": 2}


def test_who_strays_to_another_map_is_led_from_there():
  game = _Game(_long_world(), stride=8)
  game.at(2, 0, 0)
  game.rows(12, 2, 0, 0)
  game.at(1, 2, 19)  # through the door
  game.rows(12, 1, 2, 19)
  assert game.asked == {"area": 1, "start": 1}
  assert game.at(2, 0, 0) == "reach tile 2 0 8"  # a map that it had seen
  assert game.asked == {"area": 1, "start": 1}
  assert game.led == {"strayed": 2}
  assert game.at(1, 2, 19, has_control=False) == "reach tile 2 0 8"  # a warp
  assert game.at(1, 2, 19) == "reach map 2"


def test_what_a_battle_held_up_goes_on_after_it():
  game = _Game(_long_world())
  assert game.at(1, 2, 2) == "reach tile 1 2 10"
  wild = {"in_battle": 1, "enemy_species": 9, "capture_items": 2}
  assert game.at(1, 2, 2, **wild) == "own 2 species"
  assert game.asked == {"meets": 1, "start": 1}
  goals = game.rows(4, 1, 2, 3, capture_items=2)
  assert goals[-1] == "reach tile 1 2 11"
  # Caught, it is done at once, and what the species brings asks nobody.
  assert game.at(1, 2, 3, **wild) == "own 2 species"
  caught = {"capture_items": 1, "dex_owned": 2}
  assert game.at(1, 2, 3, reached=True, **caught) == "reach tile 1 2 11"
  game.rows(9, 1, 2, 3, **caught)
  assert game.asked == {"meets": 2, "start": 1}
  assert game.led == {"resumed": 2}
  errands = game.driver.summary()["errands"]
  assert errands["own"] == {"reached": 1, "replaced": 1}


def test_who_has_enough_species_lets_others_go_and_asks_nobody():
  game = _Game(_long_world())
  game.at(1, 2, 2, dex_owned=14)
  wild = {"in_battle": 1, "enemy_species": 9, "capture_items": 2}
  goals = game.rows(5, 1, 2, 2, dex_owned=14, **wild)
  assert goals == ["reach tile 1 2 10"] * 5
  assert game.asked == {"start": 1}


def test_who_comes_out_of_a_battle_hurt_is_asked():
  known = _long_world(healing=[{"at": [1, 0, 5], "count": 3}])
  game = _Game(known)
  game.at(1, 2, 2)
  for hp, asked in ((10, None), (9, 1), (8, 1)):
    game.rows(3, 1, 2, 2, in_battle=1, party_hp=hp)
    game.rows(3, 1, 2, 2, party_hp=hp)
    assert game.asked.get("battle") == asked
  assert str(game.driver.errand) == "heal"
  assert str(game.driver.goal) == "reach tile 1 0 4"  # eight cells on


def test_who_buys_does_so_until_there_is_enough():
  known = _long_world(shops=[{"at": [1, 2, 5], "count": 3, "price": 200}])
  game = _Game(known)
  assert game.at(1, 2, 2, money=500) == "reach tile 1 2 5"
  assert game.at(1, 2, 5, reached=True, money=500) == "get capture item"
  buys = {"reached": True, "done": True}
  for items, money in ((1, 900), (2, 700), (5, 200)):
    goal = game.at(1, 2, 5, capture_items=items, money=money, **buys)
    assert goal == "get capture item"
  assert game.asked == {"start": 1}
  assert game.at(1, 2, 5, capture_items=6, money=900, **buys) != goal
  assert game.asked == {"reached": 1, "start": 1}
  assert game.driver.summary()["errands"] == {"item": {"reached": 1}}


def test_a_replay_goes_on_with_an_errand_as_the_game_did(tmp_path):
  known = _long_world(shops=[{"at": [1, 2, 5], "count": 3, "price": 200}])
  game = _Game(known, path=tmp_path / "t")
  here, shop = (1, 2, 3), (1, 2, 5)
  some = {"capture_items": 1, "money": 900}
  played = [
    ((1, 2, 2), {"money": 500}),
    (here, {"done": True, **some}),  # found on the way: there is not enough
    (here, some),
    (shop, {"reached": True, **some}),
    (shop, {"reached": True, "done": True, **some, "capture_items": 6}),
    (shop, {**some, "capture_items": 6}),
  ]
  goals = [game.at(*cell, **row) for cell, row in played]
  assert goals[:4] == ["reach tile 1 2 5"] * 3 + ["get capture item"]
  assert goals[4] != goals[3]
  game.driver.close()
  for name, source in (("a", "t"), ("b", "a")):  # a replay's own trace, too
    log = []
    again = _Game(known)
    again.driver = driver.Driver(
      known,
      replay=replay.Replay(trace.read(tmp_path / source)),
      trace_path=tmp_path / name,
      log=log.append,
    )
    assert [again.at(*cell, **row) for cell, row in played] == goals
    again.driver.close()
    assert not log


@pytest.mark.parametrize(
  ("goal", "at", "first"),
  [
    ("reach map 2", None, "reach tile 1 2 10"),
    ("reach tile 1 2 19", None, "reach tile 1 2 10"),
    ("reach tile 1 2 4", None, "reach tile 1 2 4"),
    ("reach tile 2 0 7", None, "reach tile 1 2 10"),
    ("heal", None, "reach tile 1 2 8"),
    ("heal", (1, 0, 0), "reach tile 1 0 0"),
    ("talk", None, "talk"),
    ("talk", (1, 2, 0), "reach tile 1 2 0"),
    ("earn badge 0", None, "earn badge 0"),  # nobody said where
    ("reach map 9", None, "reach map 9"),
  ],
)
def test_whoever_names_it_the_way_is_the_same(goal, at, first):
  known = _long_world(healing=[{"at": [1, 2, 8], "count": 3}])
  named = goal_specs.parse(goal, free_text=False)
  reply = schema.Reply(named, "", at)
  state = games.followed(games.row(map_id=1, y=2, x=2)).moment.state
  assert games.first(known, reply, state, stride=8) == first


def test_a_trace_holds_goals_of_the_way_with_their_errand(tmp_path):
  game = _Game(_long_world(), path=tmp_path / "t")
  game.at(1, 0, 3)
  game.at(1, 2, 3, reached=True)
  game.driver.close()
  found = trace.read(tmp_path / "t")
  (call,) = found.calls
  assert call["reply"]["goal"] == "earn badge 0"
  assert call["reply"]["at"] == [2, 0, 11]
  assert call["pursued"] == "reach tile 1 2 3"
  (lead,) = [line for line in found.lines if line["kind"] == "lead"]
  assert (lead["env_step"], lead["reason"]) == (1, "reached")
  assert (lead["goal"], lead["errand"]) == ("reach tile 1 2 11", "earn badge 0")


def test_a_guide_is_of_one_errand_at_a_time():
  known = _long_world()
  guide = leading.Guide(known, walking.Walks(known), 8, 6)
  state = games.followed(games.row(map_id=1, y=2, x=2)).moment.state
  errand = leading.Errand(goal_specs.Goal("badge", number=0), (2, 0, 11))
  first = guide.begin(errand, state)
  assert guide.again(state, first) is not None
  assert guide.again(state, first) is None
  guide.begin(errand, state)
  assert guide.again(state, first) is not None
  there = dataclasses.replace(state, map_id=2)
  assert guide.has_strayed(there) and not guide.has_strayed(state)
