"""Hindsight and labels: what was reached later is what is said, and no more."""

import numpy as np
import pytest

from data_tools.game import goal_catalogue
from data_tools.game import goal_labels
from data_tools.game import goals
from data_tools.game import hindsight
from data_tools.game import roms
from pokedreamer_jax import goal_specs
from tests.data_tools import goal_rows
from tests.data_tools.game import goals_test

_SOURCES = ("chapter_one", "great_vale", "random")
_MIX = {"map": 1.0, "tile": 1.0, "win": 2.0, "catch": 1.0, "level": 0.5,
        "talk": 1.0, "badge": 1.0, "heal": 1.0}  # fmt: skip


def _rows(source):
  if source == "random":
    return goal_rows.random_rows(300)
  return goal_rows.played(source)


def _goals(source):
  if source == "random":
    return goals_test._MANY
  return goal_catalogue.catalogue(roms.resolve(source), tiles=True)


def _twice(rows):
  """Arrivals at rows each of which follows on itself."""
  twice = {k: np.repeat(rows[k], 2, axis=0) for k in goals.FIELDS}
  twice["is_first"][:] = False
  return {k: v[1::2] for k, v in goals.arrivals(twice).items()}


def _holds(rows, goal, twice=None):
  """Whether a state holds on each row `[T]`."""
  if not goal.is_state:
    return np.zeros(len(rows["is_first"]), bool)
  return goals.judge(twice or _twice(rows), goal.to_array())


@pytest.mark.parametrize("source", _SOURCES)
def test_hindsight_is_every_row_on_which_a_goal_begins_to_be_reached(source):
  rows = _rows(source)
  found = {}
  events = hindsight.hindsight(rows)
  assert [row for row, _ in events] == sorted(row for row, _ in events)
  for row, goal in events:
    found.setdefault(goal, []).append(row)
  arrived, twice = goals.arrivals(rows), _twice(rows)
  ran = rows["game_running"][:-1]
  for goal in set(_goals(source)) | set(found):
    begins = goals.judge(arrived, goal.to_array())[1:] & ran
    begins &= ~_holds(rows, goal, twice)[:-1]
    assert found.get(goal, []) == (np.flatnonzero(begins) + 1).tolist(), goal
  assert {goal.kind for goal in found} == set(goal_specs.PREDICATES)


def test_some_kinds_and_few_tiles():
  rows = _rows("great_vale")
  everything = hindsight.hindsight(rows)
  kinds = ("talk", "badge", "tile")
  events = hindsight.hindsight(rows, kinds, every=10)
  assert {goal.kind for _, goal in events} == set(kinds)
  others = [e for e in everything if e[1].kind in ("talk", "badge")]
  assert [e for e in events if e[1].kind != "tile"] == others
  tiles = [row for row, goal in events if goal.kind == "tile"]
  assert np.diff(tiles).min() >= 10
  every = [row for row, goal in everything if goal.kind == "tile"]
  # None is left out for longer than asked.
  assert all(any(0 <= row - kept < 10 for kept in tiles) for row in every)
  assert hindsight.hindsight(rows, ()) == []


def test_what_a_save_holds_is_no_hindsight():
  off, on = dict(game_running=False), dict(game_running=True, badges=3)
  rows = goals_test._rows(off, on, {}, dict(badges=7, x=9))
  events = hindsight.hindsight(rows)
  assert [(row, str(goal)) for row, goal in events] == [
    (3, "reach tile 2 4 9"), (3, "earn badge"), (3, "earn badge 2"),
    (3, "win leader battle"),
  ]  # fmt: skip


def test_levels_and_species_that_are_jumped_over_are_reached():
  rows = goals_test._rows({}, dict(party_level=(7, 5), dex_owned=3))
  words = [str(goal) for _, goal in hindsight.hindsight(rows)]
  assert words == [
    "catch new species", "own 2 species", "own 3 species",
    "reach level 6", "reach level 7",
  ]  # fmt: skip


def test_a_badge_for_another_is_that_badge_and_no_more():
  rows = goals_test._rows(dict(badges=1), dict(badges=2))
  words = [str(goal) for _, goal in hindsight.hindsight(rows)]
  assert words == ["earn badge 1"]


@pytest.mark.parametrize(
  ("values", "line"),
  [
    (dict(kinds=("map", "text")), r"kinds: \['text'\], expected some of"),
    (dict(kinds=("none",)), r"kinds: \['none'\]"),
    (dict(every=0), "every: 0, expected at least 1"),
  ],
)
def test_bad_questions_are_refused(values, line):
  with pytest.raises(ValueError, match=line):
    hindsight.hindsight(_rows("random"), **values)


# Labels.


def _label(rows, seed=0, horizon=40, mix=_MIX, numbering=None):
  rng = np.random.default_rng(seed)
  return goal_labels.label_goals(rows, rng, horizon, mix, numbering)


@pytest.mark.parametrize("source", _SOURCES)
def test_a_rows_goal_is_reached_first_when_the_label_says(source):
  rows = _rows(source)
  labels, table = _label(rows)
  assert labels.number.dtype == labels.env_steps.dtype == np.int32
  first = rows["is_first"]
  reached = {g: goals.reached(rows, g) for g in table[1:]}
  holds = {g: _holds(rows, g) for g in table[1:]}
  for t, (number, steps) in enumerate(
    zip(labels.number.tolist(), labels.env_steps.tolist(), strict=True)
  ):
    if number == 0:
      assert steps == 0
      continue
    goal = table[number]
    assert goal.kind in _MIX and not holds[goal][t]
    assert t + 1 + np.argmax(reached[goal][t + 1 :]) == t + steps
    assert 1 <= steps <= 40 and not first[t + 1 : t + steps + 1].any()
  assert len({g.kind for g in table}) > 6


@pytest.mark.parametrize("source", _SOURCES)
def test_a_row_has_none_only_where_nothing_comes(source):
  rows = _rows(source)
  mix = {"map": 1.0, "level": 1.0, "talk": 1.0}
  labels, _ = _label(rows, horizon=25, mix=mix)
  episode = np.cumsum(rows["is_first"])
  comes = np.zeros(len(episode), bool)
  for row, goal in hindsight.hindsight(rows, tuple(mix)):
    t = np.arange(max(row - 25, 0), row)
    comes[t] |= (episode[t] == episode[row]) & ~_holds(rows, goal)[t]
  np.testing.assert_array_equal(labels.number > 0, comes)
  assert comes.any() and not comes.all()


def test_labels_depend_on_the_seed_alone():
  rows = _rows("random")
  one, table = _label(rows)
  same, same_table = _label(rows)
  other, _ = _label(rows, seed=1)
  np.testing.assert_array_equal(one.number, same.number)
  assert table == same_table
  assert (one.number != other.number).mean() > 0.3


def test_kinds_are_drawn_by_weight_where_there_are_several():
  rows = goals_test._rows(
    *[{}] * 3000, dict(map_id=3, dex_owned=2, capture_items=9), {}
  )
  mix = {"map": 1.0, "catch": 2.0, "none": 3.0, "item": 0.0, "talk": 9.0}
  labels, table = _label(rows, horizon=5000, mix=mix)
  count = np.bincount(labels.number[:3000], minlength=3)
  words = [str(goal) for goal in table]
  assert sorted(words) == ["catch new species", "no goal", "reach map 3"]
  # Standard deviations are below 30.
  for words_of, share in (
    ("no goal", 1 / 2), ("catch new species", 1 / 3), ("reach map 3", 1 / 6)
  ):  # fmt: skip
    assert abs(count[words.index(words_of)] - 3000 * share) < 120


def test_events_of_a_kind_are_drawn_alike():
  changes = [dict(x=5 + t) for t in range(1, 11)]
  rows = goals_test._rows(*[{}] * 2000, *changes)
  labels, table = _label(rows, horizon=5000, mix={"tile": 1.0})
  count = np.bincount(labels.number[:2000], minlength=11)
  assert count[0] == 0 and len(table) == 11
  assert count[1:].min() > 140 and count[1:].max() < 260  # 200, deviation 13


def test_one_numbering_serves_many_episodes():
  numbering = goal_labels.Numbering([goal_specs.parse("talk")])
  one, first = _label(_rows("chapter_one"), numbering=numbering)
  two, both = goal_labels.milestones(_rows("great_vale"), numbering)
  assert both[: len(first)] == first and len(set(both)) == len(both)
  assert both[:2] == [goal_specs.NONE, goal_specs.parse("talk")]
  alone, table = _label(_rows("chapter_one"))
  assert [first[n] for n in one.number] == [table[n] for n in alone.number]
  assert two.number.max() < len(both) == len(numbering.goals)


@pytest.mark.parametrize(
  ("values", "line"),
  [
    (dict(horizon=0), "horizon: 0, expected at least 1"),
    (dict(mix={"map": -1.0}), "mix.map: -1.0, expected at least 0"),
    (dict(mix={"map": np.nan}), "mix.map: nan"),
    (dict(mix={"text": 1.0}), r"kinds: \['text'\], expected some of"),
  ],
)
def test_bad_labels_are_refused(values, line):
  with pytest.raises(ValueError, match=line):
    _label(_rows("random"), **values)


# Milestones.


def _words(rows, label=goal_labels.milestones):
  """Words of each row's milestone, and the steps to it."""
  labels, table = label(rows)
  found = [str(table[number]) for number in labels.number]
  return list(zip(found, labels.env_steps.tolist(), strict=True))


def test_milestones_are_the_next_major_event():
  rows = goals_test._rows(
    {}, dict(map_id=3), dict(map_id=2), dict(party_level=(6, 5)),
    dict(capture_items=5), dict(dialog_open=True), dict(dex_owned=2),
    dict(is_first=True), dict(is_first=False, map_id=9), {},
  )  # fmt: skip
  none = ("no goal", 0)
  assert _words(rows) == [
    ("reach map 3", 1), ("reach level 6", 2), ("reach level 6", 1),
    ("get capture item", 1), ("catch new species", 2),
    ("catch new species", 1), none, ("reach map 9", 1), none, none,
  ]  # fmt: skip


def test_an_errand_names_every_map_on_the_way():
  rows = goals_test._rows(
    {}, dict(map_id=3), dict(map_id=2), dict(event_flags=20),
    dict(dex_owned=3), dict(map_id=3), {},
  )  # fmt: skip
  words = [w for w, _ in _words(rows, goal_labels.errands)]
  assert words == [
    "reach map 3", "reach map 2", "advance story", "own 3 species",
    "reach map 3", "no goal", "no goal",
  ]  # fmt: skip
  # Milestones skip maps that were seen, and the story.
  assert [w for w, _ in _words(rows)][1:4] == ["catch new species"] * 3


def test_a_badge_comes_before_what_comes_with_it():
  fight = dict(in_battle=2)
  win = dict(in_battle=0, trainer_wins=1.0, badges=2, party_level=(8, 5))
  assert _words(goals_test._rows(fight, win))[0] == ("earn badge 1", 1)
  del win["badges"]
  assert _words(goals_test._rows(fight, win))[0] == ("win trainer battle", 1)
  del win["trainer_wins"]
  assert _words(goals_test._rows(fight, win))[0] == ("reach level 8", 1)


def test_a_level_lost_and_reached_again_is_no_milestone():
  levels = [dict(party_level=(n, 5)) for n in (6, 4, 6, 7)]
  words = _words(goals_test._rows(*levels))
  assert [w for w, _ in words] == ["reach level 7"] * 3 + ["no goal"]
  # Nor is the one that the first creature has.
  nobody = dict(party_level=(0, 0))
  words = _words(goals_test._rows(nobody, levels[0], levels[3]))
  assert [w for w, _ in words] == ["reach level 7"] * 2 + ["no goal"]


@pytest.mark.parametrize("source", _SOURCES)
@pytest.mark.parametrize(
  ("label", "kinds", "every_map"),
  [
    (goal_labels.milestones, goal_labels.MILESTONES, False),
    (goal_labels.errands, goal_labels.ERRANDS, True),
  ],
)
def test_milestones_agree_with_the_events(source, label, kinds, every_map):
  rows = _rows(source)
  episode = np.cumsum(rows["is_first"])
  explored = goals.reached(rows, goal_specs.parse("explore new map"))
  labels, table = label(rows)
  events = {}
  for row, goal in hindsight.hindsight(rows):
    level = rows["party_level"][:, 0].astype(int)
    before = level[:row][episode[:row] == episode[row]]
    major = {
      "badge": goal.number is not None,
      "map": explored[row] or every_map,
      "level": before.max(initial=0) > 0
      and level[row] > before.max(initial=0)
      and goal.number == level[row],
      "own": goal.number == rows["dex_owned"][row],
    }.get(goal.kind, True)
    major &= goal.kind in kinds
    if major:
      events.setdefault(row, []).append(goal)
  for t, number in enumerate(labels.number.tolist()):
    later = [row for row in events if row > t and episode[row] == episode[t]]
    if not later:
      assert number == labels.env_steps[t] == 0
      continue
    row = min(later)
    best = min(events[row], key=lambda g: kinds.index(g.kind))
    assert table[number] == best and labels.env_steps[t] == row - t
  assert {g.kind for g in table[1:]} <= set(kinds)
  assert len({g.kind for g in table}) > 6
