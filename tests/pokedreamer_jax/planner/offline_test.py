"""The offline planner follows records, heals, gets loose; knowledge files."""

import dataclasses
import json

import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax import whole_files
from pokedreamer_jax.planner import knowledge
from pokedreamer_jax.planner import offline
from pokedreamer_jax.planner import offline_config
from pokedreamer_jax.planner import requests
from pokedreamer_jax.planner import schema
from tests.pokedreamer_jax.planner import games

# Whoever seeks species too, as milestones that come in any order.
_SEEKS = offline_config.OfflineConfig(in_passing=())


def _ask(planner, progress, known, trigger="start", pursued=goal_specs.NONE):
  request = requests.make(
    progress,
    known,
    trigger,
    pursued,
    schema.LastGoal(None, "none", 0, None),
    schema.Switches(),
  )
  return games.first(known, planner.answer(request, progress), request.state)


def _goal(*rows, known=None, trigger="start"):
  known = games.small_world() if known is None else known
  planner = offline.OfflinePlanner(known)
  return _ask(planner, games.followed(*rows), known, trigger)


def test_milestones_come_in_their_order_over_the_maps_between():
  first = games.row()
  there = games.row(map_id=2)
  assert _goal(first) == "reach map 2"
  # The trainer is on map 2; on the way there from map 1 comes map 2.
  assert _goal(first, there) == "win trainer battle"
  assert _goal(first, there, first) == "reach map 2"
  won = games.row(map_id=2, trainer_wins=1)
  assert _goal(first, won) == "reach map 3"
  last = games.row(map_id=3)
  assert _goal(first, won, last) == "earn badge 0"
  # The badge is on map 3, two maps away: first the nearer one.
  assert _goal(first, won, last, first) == "reach map 2"


def test_a_badge_held_is_behind_what_came_before_it():
  known = games.small_world()
  assert requests.undone(known, games.followed(games.row(badges=1))) == []
  unfinished = requests.undone(known, games.followed(games.row()))
  assert [str(m.goal) for m in unfinished] == [
    str(m.goal) for m in known.milestones
  ]


def _shown(goal, share=1.0, at=(1, 1, 1)):
  return {
    "goal": goal,
    "nth": 1,
    "share": share,
    "env_steps": 5.0,
    "at": list(at),
  }


def test_what_was_reached_instead_is_a_place_to_try_it_from():
  known = games.small_world()
  planner = offline.OfflinePlanner(known)
  progress = games.followed(games.row(), games.row(map_id=2))
  reasons = ("start", "out of time", "reached", "out of time", "reached")
  goals = [_ask(planner, progress, known, reason) for reason in reasons]
  # It failed once: the milestones after it, from the new place.
  assert goals[0] == "win trainer battle" and goals[2] == "reach map 3"
  assert goals[1].startswith("reach tile 2 ")
  assert goals[3].startswith("reach map ")  # another way than before
  assert goals[4] == "reach map 3"  # where the badge is


def test_levels_are_reached_before_a_leader_is_met():
  shown = [_shown("reach level 7"), _shown("earn badge 0")]
  known = games.small_world(milestones=shown)
  assert _goal(games.row(party_level=5), known=known) == "reach level 7"
  assert _goal(games.row(party_level=7), known=known) == "earn badge 0"


def test_what_few_demonstrations_had_was_luck():
  for share, first in ((0.74, "earn badge 0"), (0.75, "win trainer battle")):
    shown = [_shown("win trainer battle", share), _shown("earn badge 0")]
    known = games.small_world(milestones=shown)
    assert _goal(games.row(), known=known) == first


def test_nothing_is_to_be_caught_with_empty_hands():
  known = games.small_world(
    milestones=[_shown("own 2 species"), _shown("earn badge 0")]
  )
  planner = offline.OfflinePlanner(known, _SEEKS)
  for items, expected in ((1, "own 2 species"), (0, "earn badge 0")):
    game = games.followed(games.row(capture_items=items))
    assert _ask(planner, game, known) == expected


def test_what_is_taken_in_passing_is_named_where_it_is_met():
  shown = [_shown("own 2 species"), _shown("earn badge 0")]
  known = games.small_world(milestones=shown)
  rows = [games.row(capture_items=2)]
  for passing, expected in (((), "own 2 species"), (("own",), "earn badge 0")):
    config = offline_config.OfflineConfig(in_passing=passing)
    planner = offline.OfflinePlanner(known, config)
    assert _ask(planner, games.followed(*rows), known) == expected
    wild = games.row(capture_items=2, in_battle=1, enemy_species=9)
    met = games.followed(*rows, wild)
    assert _ask(planner, met, known, "meets") == "own 2 species"
    # Whoever has more looks for one more.
    wild = games.row(in_battle=1, enemy_species=9, dex_owned=4)
    met = games.followed(*rows, wild)
    assert _ask(planner, met, known, "meets") == "own 5 species"


def test_a_long_battle_is_to_be_won_and_says_nothing_of_the_way():
  known = games.small_world()
  planner = offline.OfflinePlanner(known)
  peace = games.row(map_id=2)
  progress = games.followed(games.row(), peace)
  assert _ask(planner, progress, known) == "win trainer battle"
  for in_battle in (1, 2):
    progress.update(games.row(map_id=2, in_battle=in_battle))
    assert _ask(planner, progress, known, "stagnant") == "win battle"
    # Where that leads nowhere it is not said again at once.
    win = goal_specs.Goal("win")
    goal = _ask(planner, progress, known, "stagnant", win)
    assert goal == "win trainer battle"
  progress.update(peace)
  assert _ask(planner, progress, known, "battle") == "win trainer battle"
  # Nor does a creature that was not caught.
  progress.update(
    games.row(map_id=2, in_battle=1, enemy_species=9, capture_items=3)
  )
  assert _ask(planner, progress, known, "meets") == "own 2 species"
  progress.update(peace)
  assert _ask(planner, progress, known, "out of time") == "win trainer battle"
  assert _ask(planner, progress, known, "out of time") != "win trainer battle"


def test_where_milestones_end_it_goes_where_it_has_not_been():
  won = games.row(badges=1)
  assert _goal(won) == "reach map 2"  # towards the maps not seen
  seen = [games.row(badges=1, map_id=i) for i in (1, 2, 3)]
  goal = _goal(*seen)
  assert goal.startswith("reach tile 3 ")
  assert goal != "reach tile 3 4 4"  # it stands there


def test_hurt_it_heals_first_until_all_is_well():
  known = games.small_world()
  planner = offline.OfflinePlanner(known)
  progress = games.followed(games.row(), games.row(map_id=2))

  def ask(hp, map_id):
    progress.update(games.row(map_id=map_id, party_hp=hp))
    return _ask(planner, progress, known)

  assert ask(12, 2) == "win trainer battle"  # 60 %
  assert ask(7, 2) == "reach map 1"  # 35 %: the way to where one heals
  assert ask(12, 1) == "heal"  # not yet well
  assert ask(19, 2) == "win trainer battle"
  assert ask(12, 2) == "win trainer battle"


def test_a_way_to_heal_that_leads_nowhere_is_left_for_another():
  known = games.small_world()
  planner = offline.OfflinePlanner(known)
  progress = games.followed(games.row(), games.row(map_id=2, party_hp=3))
  goals = [
    _ask(planner, progress, known, reason)
    for reason in ("start", "out of time", "out of time", "progress")
  ]
  assert goals[0] == goals[3] == "reach map 1"
  assert goals[1].startswith("reach tile 2 ") and goals[2] != goals[0]


def test_stuck_it_tries_something_else_each_time_and_comes_back():
  known = games.small_world()
  planner = offline.OfflinePlanner(known, offline_config.OfflineConfig(tries=2))
  progress = games.followed(games.row(), games.row(map_id=2))
  goals = [_ask(planner, progress, known)]
  for _ in range(14):
    goals.append(_ask(planner, progress, known, "out of time"))
  assert goals[:2] == ["win trainer battle"] * 2
  assert goals[2].startswith("reach tile 2 ")
  assert goals[3] == "reach map 1"  # where it has been
  # The milestone that failed less, twice as well, on map 3; then anew.
  assert goals[4:6] == ["reach map 3"] * 2
  assert goals[6].startswith("reach tile 2 ")
  assert goals.index("win trainer battle", 2) == 12  # all have failed twice
  # Progress makes other ways begin again.
  progress.update(games.row(map_id=2, event_flags=1))
  goal = _ask(planner, progress, known, "progress")
  assert goal in ("win trainer battle", "reach map 3")


def test_a_milestone_that_fails_rests_while_others_can_be_tried():
  shown = [_shown(f"own {n} species") for n in (2, 3)]
  shown += [_shown("earn badge 0"), _shown("reach level 9")]
  known = games.small_world(milestones=shown)
  planner = offline.OfflinePlanner(known, _SEEKS)
  progress = games.followed(games.row(capture_items=1))
  goals = [_ask(planner, progress, known)]
  for level in (6, 7, 8, 9):  # progress of another kind does not bring it back
    progress.update(games.row(capture_items=1, party_level=level))
    _ask(planner, progress, known, "out of time")  # something else
    goals.append(_ask(planner, progress, known, "reached"))
  assert goals == [
    *("own 2 species", "own 3 species", "earn badge 0"),
    *("own 2 species", "own 3 species"),
  ]  # what comes after the badge waits for it


def test_no_milestone_beyond_the_window_is_tried_before_its_turn():
  shown = [_shown(f"own {n} species") for n in (2, 3, 4)]
  known = games.small_world(milestones=shown)
  config = offline_config.OfflineConfig(window=2, in_passing=())
  planner = offline.OfflinePlanner(known, config)
  progress = games.followed(games.row(capture_items=1))
  goals = [_ask(planner, progress, known)]
  for level in (6, 7, 8):
    progress.update(games.row(capture_items=1, party_level=level))
    _ask(planner, progress, known, "out of time")  # something else
    goals.append(_ask(planner, progress, known, "reached"))
  assert goals == ["own 2 species", "own 3 species"] * 2


def test_a_milestone_that_had_its_time_rests_though_nothing_failed():
  shown = [_shown(f"own {n} species") for n in (2, 3)]
  known = games.small_world(milestones=shown)
  config = offline_config.OfflineConfig(in_passing=(), try_env_steps=5)
  planner = offline.OfflinePlanner(known, config)
  progress = games.followed(games.row(capture_items=1))
  goals = []
  for _ in range(6):  # a battle is over, three env steps after that before
    goals.append(_ask(planner, progress, known, "battle"))
    for _ in range(3):
      progress.update(games.row(capture_items=1))
  first, second = "own 2 species", "own 3 species"
  assert goals == [first, first, second, second, first, first]


def test_what_a_battle_was_named_for_takes_no_time_of_its_own():
  shown = [_shown(f"own {n} species") for n in (4, 5)]
  known = games.small_world(milestones=shown)
  config = offline_config.OfflineConfig(in_passing=(), try_env_steps=8)
  planner = offline.OfflinePlanner(known, config)
  progress = games.followed(games.row(capture_items=1))
  goals = []
  for reason in ("start", "meets", "battle", "battle"):
    goals.append(_ask(planner, progress, known, reason))
    for _ in range(3):
      progress.update(games.row(capture_items=1, dex_owned=1))
  # Nine steps towards the first one, three of them while something was caught.
  assert goals[0] == goals[2] == "own 4 species"
  assert goals[3] == "own 5 species"


def test_what_was_given_up_makes_room_in_the_window():
  shown = [_shown(f"own {n} species") for n in (2, 3, 4)]
  known = games.small_world(milestones=[*shown, _shown("earn badge 0")])
  config = offline_config.OfflineConfig(window=2, in_passing=(), most_tries=1)
  planner = offline.OfflinePlanner(known, config)
  progress = games.followed(games.row(capture_items=1))
  goals = [_ask(planner, progress, known)]
  for level in (6, 7, 8, 9):
    progress.update(games.row(capture_items=1, party_level=level))
    _ask(planner, progress, known, "out of time")  # something else
    goals.append(_ask(planner, progress, known, "reached"))
  # Each once, up to the badge, and then the first again.
  assert goals == [
    *("own 2 species", "own 3 species", "own 4 species", "earn badge 0"),
    "own 2 species",
  ]


def test_without_any_knowledge_it_still_names_goals():
  known = knowledge.Knowledge()
  planner = offline.OfflinePlanner(known)
  progress = games.followed(games.row())
  goals = [_ask(planner, progress, known, "stuck") for _ in range(6)]
  assert goals[0] == "explore new map"
  assert len(set(goals)) == 4


def test_the_same_game_gets_the_same_goals():
  rows = [games.row(map_id=i % 3 + 1, event_flags=i // 5) for i in range(40)]

  def goals():
    planner = offline.OfflinePlanner(games.small_world())
    progress = games.followed(rows[0])
    found = []
    for row in rows[1:]:
      progress.update(row)
      found.append(_ask(planner, progress, games.small_world(), "stuck"))
    return found

  assert goals() == goals()


def test_settings_are_checked():
  with pytest.raises(ValueError, match=r"offline.kinds: \['fly'\]"):
    offline_config.OfflineConfig(kinds=("fly",))
  with pytest.raises(ValueError, match=r"offline.hurt_share"):
    offline_config.OfflineConfig(hurt_share=0.9, healed_share=0.5)
  with pytest.raises(ValueError, match=r"offline.in_passing: \['fly'\]"):
    offline_config.OfflineConfig(in_passing=("fly",))
  with pytest.raises(ValueError, match=r"fewest_items 7, enough_items 6"):
    offline_config.OfflineConfig(fewest_items=7)
  with pytest.raises(ValueError, match=r"offline.least_share: 2"):
    offline_config.OfflineConfig(least_share=2)
  for name in ("tries", "try_env_steps", "most_tries", "window"):
    with pytest.raises(ValueError, match=rf"offline.{name}: 0, expected at le"):
      offline_config.OfflineConfig(**{name: 0})


def test_routes_are_the_shortest_and_may_not_be():
  known = games.small_world()
  assert [w.end[0] for w in known.route(1, [3])] == [2, 3]
  assert known.route(1, [1, 3]) == []
  assert known.route(1, [9]) is None
  assert known.map_ids == (1, 2, 3)


def test_a_knowledge_file_is_read_back_and_damage_is_told(tmp_path):
  values = _values()
  path = tmp_path / "knowledge.json"
  path.write_text(json.dumps(whole_files.seal(values)))
  found = knowledge.load(path)
  assert found.ways == games.small_world().ways
  assert len(found.sha256) == 64
  path.write_text(json.dumps(values))
  with pytest.raises(ValueError, match="damaged"):
    knowledge.load(path)
  path.write_text(json.dumps(whole_files.seal(values)).replace("50", "51"))
  with pytest.raises(ValueError, match="damaged"):
    knowledge.load(path)


def _values():
  known = games.small_world()
  return {
    "format": 1,
    "about": {},
    "maps": [
      {**dataclasses.asdict(m), "cells": list(m.cells)}
      for m in known.maps.values()
    ],
    "ways": [dataclasses.asdict(way) for way in known.ways],
    "milestones": [],
    "healing": [],
  }


@pytest.mark.parametrize(
  "change",
  [
    {"format": 2},
    {"ways": [{"start": [1, 2], "end": [1, 2, 3], "count": 1}]},
    {"ways": [{"start": [1, 2, -3], "end": [1, 2, 3], "count": 1}]},
    {"ways": 5},
    {"milestones": [{"goal": "fly away"}]},
    {"healing": [{}]},
    {"maps": [{"map_id": 1}]},
  ],
)
def test_what_is_no_knowledge_is_refused_in_a_line(change):
  with pytest.raises(ValueError, match=r"^it: ") as error:
    knowledge.from_json({**_values(), **change}, "it")
  assert "\n" not in str(error.value)


def test_the_story_is_told_by_where_its_flags_were_set():
  places = {1: (1, 0, 0), 2: (1, 0, 9), 3: (2, 0, 0), 4: (2, 9, 9)}
  shown = [
    _shown("advance story", at=at) | {"nth": nth} for nth, at in places.items()
  ]
  known = games.small_world(milestones=shown)

  def left(*rows):
    progress = games.followed(games.row(event_flags=0), *rows)
    return [m.nth for m in requests.undone(known, progress)]

  here = lambda nth, flags, off=0: games.row(
    map_id=places[nth][0],
    y=places[nth][1] + off,
    x=places[nth][2],
    event_flags=flags,
  )
  assert left() == [1, 2, 3, 4]
  assert left(here(1, 1)) == [2, 3, 4]
  # The third before the second, some cells off.
  assert left(here(1, 1), here(3, 2, 3)) == [2, 4]
  # Some more: then it is the first that is left on that map.
  assert left(here(1, 1), here(3, 2, 4)) == [2, 4]
  assert left(here(1, 1), here(3, 2, 4), here(3, 3)) == [2]
  assert left(here(4, 1)) == [1, 2, 3]
  # Two at once are two.
  assert left(here(1, 2)) == [3, 4]
  # What is set on another map is no part of it.
  assert left(games.row(map_id=3, event_flags=2)) == [1, 2, 3, 4]
  assert left(here(3, 1), games.row(map_id=3, event_flags=2)) == [1, 2, 4]
  # A game that began with some has them.
  progress = games.followed(games.row(event_flags=2))
  assert [m.nth for m in requests.undone(known, progress)] == [3, 4]


_KEY, _AFTER, _LAST = (1, 2, 0), (3, 2, 0), (3, 1, 3)


def _with_a_key(*more):
  """Two badges with a story before the first and a map after it."""
  return games.small_world(
    milestones=[
      *more,
      _shown("advance story", at=_KEY) | {"nth": 2},
      _shown("earn badge 0", at=(2, 1, 1)),
      _shown("reach map 3", at=_AFTER),
      _shown("earn badge 1", at=_LAST),
    ]
  )


def _places(planner, progress, known, count):
  """Where the milestones are that are named, each of which leads nowhere."""
  found = []
  for _ in range(count):
    for reason in ("reached", "out of time"):
      request = games.request(games.row(), known=known, trigger=reason)
      state = progress.moment.state
      reply = planner.answer(
        dataclasses.replace(request, state=state), progress
      )
      if reason == "reached":
        found.append((reply.at, reply.rationale))
  return found


def test_what_was_left_behind_is_tried_when_what_comes_next_leads_nowhere():
  few = {"share": 0.1}
  known = _with_a_key(_shown("advance story", at=(1, 1, 1)) | few)
  here = {"map_id": 2, "badges": 1}
  progress = games.followed(games.row(), games.row(**here))
  left = [m.at for m in requests.left_behind(known, progress)]
  assert left == [(1, 1, 1), _KEY]
  assert [m.at for m in requests.undone(known, progress)] == [_AFTER, _LAST]
  found = _places(offline.OfflinePlanner(known), progress, known, 9)
  # Both that come next, and then what most had and this game left behind.
  assert [at for at, _ in found[:5]] == [_AFTER, _LAST, _KEY, _AFTER, _LAST]
  assert found[2][1] == "a story left behind"
  # Three times in all: what leads nowhere either is left for good.
  assert [at for at, _ in found[5:]] == [_KEY, _AFTER, _LAST, _KEY]
  more = _places(offline.OfflinePlanner(known), progress, known, 20)
  assert [at for at, _ in more].count(_KEY) == 3


def test_left_behind_is_what_this_game_did_without():
  known = _with_a_key()
  here = {"map_id": 2, "badges": 1}
  left = lambda *rows: requests.left_behind(known, games.followed(*rows))
  first = games.row()
  assert [m.at for m in left(first, games.row(**here))] == [_KEY]
  # Not what it has done, nor before the badge, where it comes next.
  done = games.row(map_id=1, y=2, x=0, event_flags=1)
  assert left(first, done, games.row(**here, event_flags=1)) == []
  assert left(first) == []
  # Nobody knows of a game that began amid the story: the flag may be another.
  assert left(games.row(**here, event_flags=1)) == []
  # With both badges held each is named once.
  both = games.row(map_id=2, badges=3)
  assert [m.at for m in left(first, both)] == [_KEY]


def test_where_nothing_but_what_was_left_behind_is_left_it_explores_again():
  known = _with_a_key()
  progress = games.followed(games.row(), games.row(map_id=2, badges=3))
  found = _places(offline.OfflinePlanner(known), progress, known, 6)
  assert [at for at, _ in found[:3]] == [_KEY] * 3
  assert all(why.startswith("frontier") for _, why in found[3:])


def test_ways_to_heal_take_no_time_of_a_milestone():
  shown = [_shown(f"own {n} species") for n in (2, 3)]
  known = games.small_world(milestones=shown)
  config = offline_config.OfflineConfig(in_passing=(), try_env_steps=5)
  planner = offline.OfflinePlanner(known, config)
  progress = games.followed(games.row(capture_items=1))
  goals = []
  for hp in (20, 1, 1, 20):
    progress.update(games.row(capture_items=1, party_hp=hp))
    goals.append(_ask(planner, progress, known, "battle"))
    for _ in range(2):
      progress.update(games.row(capture_items=1, party_hp=hp))
  assert goals == ["own 2 species", "heal", "heal", "own 2 species"]


def _named_at_last(shown, reason, **later):
  """What is named after twice four steps of a milestone that has five."""
  known = games.small_world(milestones=[_shown(goal) for goal in shown])
  config = offline_config.OfflineConfig(in_passing=(), try_env_steps=5)
  planner = offline.OfflinePlanner(known, config)
  progress = games.followed(games.row(capture_items=1, party_level=3))
  goals = [_ask(planner, progress, known)]
  for _ in range(2):
    for _ in range(4):
      progress.update(games.row(capture_items=1, **{"party_level": 3, **later}))
    goals.append(_ask(planner, progress, known, reason))
  return goals[-1]


def test_a_milestone_has_its_time_anew_when_the_game_goes_on():
  level, species = "reach level 9", "own 3 species"
  assert _named_at_last((level, species), "battle") == species
  assert _named_at_last((level, species), "area") == level
  # A level goes on for whoever is to reach one, and for nobody else.
  assert _named_at_last((level, species), "battle", party_level=4) == level
  assert _named_at_last((species, level), "battle", party_level=4) == level
  assert _named_at_last((species, level), "battle") == level


def test_what_others_named_takes_no_time_of_a_milestone():
  known = games.small_world(milestones=[_shown("own 2 species")])
  config = offline_config.OfflineConfig(in_passing=(), try_env_steps=5)
  for others, expected in ((False, 4), (True, 0)):
    planner = offline.OfflinePlanner(known, config)
    progress = games.followed(games.row(capture_items=1))
    _ask(planner, progress, known)
    if others:
      planner.passed_over()
    for _ in range(20):
      progress.update(games.row(capture_items=1))
    _ask(planner, progress, known, "battle")
    assert planner._tries.of(known.milestones[0]) == expected


def test_whoever_has_enough_species_lets_others_go():
  known = games.small_world()
  wild = games.row(
    in_battle=1, enemy_species=9, capture_items=3, dex_owned=10, map_id=2
  )
  for enough, expected in ((10, "win trainer battle"), (11, "own 11 species")):
    config = offline_config.OfflineConfig(enough_species=enough)
    planner = offline.OfflinePlanner(known, config)
    progress = games.followed(games.row(), games.row(map_id=2), wild)
    assert _ask(planner, progress, known, "meets") == expected
