"""Goals on rows: each kind by hand, against a slow reference, and played."""

import numpy as np
import pytest

from data_tools.game import goals
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from tests.data_tools import goal_rows


def _rows(*changes):
  """Rows of a running game, each the one before with its changes.

  A pair for a party's field stands for its first two members.
  """
  rows = specs.empty_steps(len(changes))
  start = dict(
    game_running=True, map_id=2, y=4, x=5, has_control=True, dex_owned=1,
    party_size=2, party_species=(7, 8), party_level=(5, 5),
    party_max_hp=(20, 18), party_hp=(20, 18), capture_items=3, event_flags=1,
  )  # fmt: skip
  rows["is_first"][0] = True
  for t, change in enumerate(changes):
    for name, value in (start if t == 0 else {}).items():
      _put(rows, name, slice(None), value)
    for name, value in change.items():
      _put(rows, name, slice(t, None), value)
  for field in specs.RAM_FIELDS:  # as in records
    rows[field.name][~rows["game_running"]] = 0
  rows["visited_maps"] = goal_rows._visited(rows)
  return rows


def _put(rows, name, place, value):
  if name.endswith("_wins"):  # of that row alone
    rows["reward_terms"][place.start, specs.REWARD_TERMS.index(name)] = value
  elif isinstance(value, tuple):
    rows[name][place, : len(value)] = value
  else:
    rows[name][place] = value


def _reached(words, *changes):
  """Rows at which the goal of these words is reached."""
  found = goals.reached(_rows(*changes), goal_specs.parse(words))
  assert found.dtype == bool
  return np.flatnonzero(found).tolist()


_OFF, _ON = dict(game_running=False), dict(game_running=True)


# Where one is.


def test_a_map_is_reached_as_long_as_one_is_there():
  there, on, back = dict(map_id=6), {}, dict(map_id=2)
  assert _reached("reach map 6", {}, there, on, back, there) == [1, 2, 4]


def test_the_first_row_reaches_nothing_and_the_second_what_holds():
  for words in ("reach map 2", "reach tile 2 4 5", "own 1 species"):
    assert _reached(words, {}, {}, {}) == [1, 2], words
  assert _reached("reach level 5", {}, {}, dict(is_first=True)) == [1]


def test_a_map_counts_in_battle_in_a_text_and_after_a_blackout():
  hall = dict(map_id=6, has_control=False)
  for change in (
    dict(in_battle=1), dict(dialog_open=True), dict(in_battle=255)
  ):  # fmt: skip
    assert _reached("reach map 6", {}, hall | change) == [1]


def test_nothing_is_reached_on_the_title_screen():
  assert _reached("reach map 0", {}, _OFF, {}) == []
  assert _reached("reach tile 0 0 0", {}, _OFF | dict(has_control=True)) == []
  assert _reached("reach map 9", _OFF, {}, _ON | dict(map_id=9)) == [2]


def test_a_tile_needs_the_map_both_coordinates_and_a_player_who_can_walk():
  words = "reach tile 2 4 6"
  assert _reached(words, {}, dict(x=6), {}) == [1, 2]
  assert _reached(words, {}, dict(x=6, map_id=3)) == []
  assert _reached(words, {}, dict(x=6, y=5)) == []
  assert _reached("reach tile 2 5 4", {}, {}) == []  # row before column
  # A step that began a battle gets there when the battle is over.
  fights, done = dict(x=6, in_battle=1, has_control=False), dict(in_battle=0)
  assert _reached(words, {}, fights, done, dict(has_control=True)) == [3]
  # A fade shows the new map with the old coordinates.
  fade = dict(map_id=3, has_control=False)
  comes = dict(x=1, y=1, has_control=True)
  assert _reached("reach tile 3 4 5", {}, fade, comes) == []


def test_exploring_is_the_first_visit_of_the_episode():
  go = [dict(map_id=m) for m in (3, 2, 3, 200, 200, 2)]
  assert _reached("explore new map", {}, *go) == [1, 4]
  # Switched off and on again, and the next episode.
  assert _reached("explore new map", {}, _OFF, _ON | dict(map_id=9), {}) == []
  again = dict(is_first=True, map_id=4)
  later = [dict(is_first=False, map_id=m) for m in (5, 2)]
  rows = (dict(map_id=2), again, *later)
  assert _reached("explore new map", {}, *rows) == [3, 4]


# Badges, battles.


def test_badges_are_earned_on_the_row_they_come():
  rows = [{}, dict(badges=1), {}, dict(badges=3), dict(badges=2), {}]
  assert _reached("earn badge", *rows) == [1, 3]
  assert _reached("win leader battle", *rows) == [1, 3]
  assert _reached("earn badge 0", *rows) == [1]
  assert _reached("earn badge 1", *rows) == [3]
  assert _reached("earn badge 2", *rows) == []
  assert _reached("earn badge 7", {}, dict(badges=128)) == [1]


def test_a_badge_lost_and_earned_again_counts_and_one_for_another_is_its_bit():
  assert _reached("earn badge 0", {}, dict(badges=1), dict(badges=0),
                  dict(badges=1)) == [1, 3]  # fmt: skip
  swap = [dict(badges=1), dict(badges=2)]
  assert _reached("earn badge 1", *swap) == [1]
  assert _reached("earn badge", *swap) == []


@pytest.mark.parametrize(
  ("words", "change"),
  [
    ("earn badge", dict(badges=1)),
    ("earn badge 0", dict(badges=1)),
    ("win leader battle", dict(badges=1)),
    ("catch new species", dict(dex_owned=4)),
    ("get capture item", dict(capture_items=9)),
    ("advance story", dict(event_flags=9)),
    ("talk", dict(dialog_open=True)),
    ("explore new map", dict(map_id=9)),
    ("heal", dict(party_hp=(20, 18))),
    ("heal party", dict(party_hp=(20, 18))),
  ],
)
def test_an_event_needs_a_game_that_runs_on_both_rows(words, change):
  start = dict(party_hp=(3, 3))
  assert _reached(words, start, change) == [1]
  assert _reached(words, start, change, {}) == [1]  # once
  assert _reached(words, start | _OFF, _ON | change, {}) == []
  assert _reached(words, start, _OFF, _ON | change, {}) == []
  assert _reached(words, start, change | dict(is_first=True)) == []


_FIGHT = {1: dict(in_battle=1), 2: dict(in_battle=2)}
_OVER = dict(in_battle=0)


@pytest.mark.parametrize(
  ("kind", "term", "words"),
  [(1, "wild_wins", "win wild"), (2, "trainer_wins", "win trainer")],
)
def test_a_battle_is_won_when_it_is_over_and_paid(kind, term, words):
  fight, paid = _FIGHT[kind], {term: 1.0}
  other = {"win wild": "win trainer", "win trainer": "win wild"}[words]
  rows = [{}, fight, fight, _OVER | paid, {}]
  assert _reached(f"{words} battle", *rows) == [3]
  assert _reached("win battle", *rows) == [3]
  assert _reached(f"{other} battle", *rows) == []
  assert _reached("win leader battle", *rows) == []
  # Left, lost, blacked out, switched off: nothing is paid, or nothing over.
  assert _reached("win battle", {}, fight, _OVER) == []
  assert _reached("win battle", {}, fight, dict(in_battle=255) | paid) == []
  assert _reached("win battle", {}, fight, fight | paid) == []
  assert _reached("win battle", {}, {}, paid) == []
  assert _reached("win battle", {}, fight, _OFF | _OVER | paid) == []


def test_a_leader_is_a_trainer_who_gives_a_badge():
  end = _OVER | dict(badges=1, trainer_wins=1.0)
  rows = [{}, _FIGHT[2], end, {}]
  for words in ("win leader battle", "win trainer battle", "win battle"):
    assert _reached(words, *rows) == [2]
  # A game in which the badge is given in a later text.
  rows = [{}, _FIGHT[2], _OVER | dict(trainer_wins=1.0), dict(badges=1)]
  assert _reached("win leader battle", *rows) == [3]
  assert _reached("win trainer battle", *rows) == [2]


# Creatures.


def test_catching_is_a_rise_and_owning_is_a_state():
  rows = [{}, dict(dex_owned=2), {}, dict(dex_owned=4), dict(dex_owned=3)]
  assert _reached("catch new species", *rows) == [1, 3]
  assert _reached("own 2 species", *rows) == [1, 2, 3, 4]
  assert _reached("own 4 species", *rows) == [3]


def test_healing_fills_who_was_not_full():
  hurt, full = dict(party_hp=(12, 9)), dict(party_hp=(20, 18))
  assert _reached("heal", hurt, {}, full, {}) == [2]
  assert _reached("heal party", hurt, {}, full, {}) == [2]
  assert _reached("heal", hurt, dict(party_hp=(19, 18))) == []
  assert _reached("heal", dict(party_hp=(0, 9)), full) == [1]  # revived
  over = dict(party_hp=(25, 18))  # more than all: of other people's states
  assert _reached("heal", over, full) == [] and _reached("heal", hurt, over)


def test_one_creature_or_all():
  first, second = dict(party_hp=(20, 9)), dict(party_hp=(12, 18))
  hurt = dict(party_hp=(12, 9))
  assert _reached("heal", hurt, first) == [1]
  assert _reached("heal party", hurt, first, dict(party_hp=(20, 18))) == [2]
  assert _reached("heal", hurt, second) == []


@pytest.mark.parametrize(
  "change",
  [
    dict(in_battle=1),  # a salve in battle
    dict(map_id=3),  # a blackout moves and heals
    dict(party_level=(6, 5)),
    dict(party_max_hp=(22, 18), party_hp=(22, 18)),
    dict(party_species=(8, 7)),  # a change of places
  ],
)
@pytest.mark.parametrize("words", ["heal", "heal party"])
def test_no_healing(words, change):
  hurt, full = dict(party_hp=(12, 9)), dict(party_hp=(20, 18))
  assert _reached(words, hurt, full | change) == []
  if "in_battle" in change:
    assert _reached(words, hurt | change, full | dict(in_battle=0)) == []


def test_after_a_blackout_nobody_was_healed():
  fallen = dict(party_hp=(0, 0), in_battle=255)
  full = dict(party_hp=(20, 18), in_battle=0)
  for words in ("heal", "heal party"):
    assert _reached(words, fallen, full) == []
  # Poison on the way: no battle tells it, the party does.
  poisoned = dict(party_hp=(0, 0))
  assert _reached("heal party", poisoned, full) == []


def test_a_party_that_left_its_hurt_member_at_home_was_not_healed():
  hurt = dict(party_hp=(20, 9))
  alone = dict(
    party_size=1, party_species=(7, 0), party_level=(5, 0),
    party_max_hp=(20, 0), party_hp=(20, 0),
  )  # fmt: skip
  assert _reached("heal party", hurt, alone) == []


def test_a_level_is_a_state_of_whoever_is_first():
  rows = [{}, dict(party_level=(6, 5)), dict(party_level=(5, 6)), {}]
  assert _reached("reach level 6", *rows) == [1]
  assert _reached("reach level 5", *rows) == [1, 2, 3]
  assert _reached("reach level 7", *rows) == []


# Items, story, talk.


def test_an_item_and_a_flag_more_are_events():
  items = [dict(capture_items=n) for n in (3, 2, 5, 5, 6)]
  assert _reached("get capture item", *items) == [2, 4]
  flags = [dict(event_flags=n) for n in (1, 2, 2, 0, 1)]
  assert _reached("advance story", *flags) == [1, 4]
  assert _reached("advance story", dict(event_flags=255),
                  dict(event_flags=256)) == [1]  # fmt: skip


def test_a_text_opens_once_outside_battle():
  opens, closes = dict(dialog_open=True), dict(dialog_open=False)
  assert _reached("talk", {}, opens, {}, closes, opens) == [1, 4]
  menu = dict(menu_open=True)
  assert _reached("talk", {}, opens | menu, dict(menu_open=False)) == []
  # What a trainer says after the battle, and what follows a blackout.
  for battle in (1, 2, 255):
    end = dict(in_battle=0) | opens
    assert _reached("talk", dict(in_battle=battle), end) == []
  assert _reached("talk", {}, opens | dict(in_battle=2)) == []


# All kinds.


def test_a_game_that_stays_at_its_last_row_reaches_nothing_more():
  last = dict(is_last=True)
  assert _reached("reach map 2", {}, {}, last, {}, {}) == [1, 2]
  again = dict(is_first=True, is_last=False)
  assert _reached("reach map 2", {}, last, again, dict(is_first=False)) == [
    1,
    3,
  ]


def test_texts_and_none_are_not_judged():
  rows = _rows({}, {}, {})
  assert not goals.reached(rows, goal_specs.NONE).any()
  text = goal_specs.Goal("text", text="win it all")
  with pytest.raises(ValueError, match="'win it all' is a text, which nothing"):
    goals.reached(rows, text)
  assert not goals.judge(goals.arrivals(rows), text.to_array()).any()


def test_missing_fields_are_named():
  rows = _rows({}, {})
  del rows["badges"], rows["y"]
  with pytest.raises(ValueError, match=r"missing \['badges', 'y'\]"):
    goals.reached(rows, goal_specs.parse("talk"))


_MANY = [
  goal_specs.parse(words)
  for words in (
    *(w for w in goal_specs.WORDS.values() if w and "{" not in w),
    *(f"reach map {m}" for m in (0, 2, 5)),
    *(f"reach tile {m} {y} {x}" for m, y, x in ((2, 1, 0), (5, 0, 1))),
    *("earn badge", "earn badge 0", "earn badge 1", "earn badge 2"),
    *("own 2 species", "own 3 species", "reach level 3", "reach level 4"),
  )
]  # fmt: skip


def _slow(rows, t, goal):
  """What the docstring says, for one row and one goal."""
  now = {k: v[t] for k, v in rows.items()}
  if t == 0 or now["is_first"] or not now["game_running"]:
    return False
  first_level = int(now["party_level"][0])
  states = {
    "map": lambda: now["map_id"] == goal.map_id,
    "tile": lambda: (
      now["has_control"]
      and (now["map_id"], now["y"], now["x"]) == (goal.map_id, goal.y, goal.x)
    ),
    "own": lambda: now["dex_owned"] >= goal.number,
    "level": lambda: first_level >= goal.number,
  }
  if goal.kind in states:
    return bool(states[goal.kind]())
  old = {k: v[t - 1] for k, v in rows.items()}
  if goal.kind == "none" or not old["game_running"]:
    return False
  more = lambda name: int(now[name]) > int(old[name])
  peace = old["in_battle"] == 0 == now["in_battle"]
  terms = dict(zip(specs.REWARD_TERMS, now["reward_terms"], strict=True))
  ended = lambda kind: old["in_battle"] == kind and now["in_battle"] == 0
  wild = bool(ended(1) and terms["wild_wins"])
  trainer = bool(ended(2) and terms["trainer_wins"])
  bits = [int(r["badges"]).bit_count() for r in (old, now)]

  def healed(size):
    kept = ("party_species", "party_level", "party_max_hp")
    same = all((old[k][:size] == now[k][:size]).all() for k in kept)
    full = [
      all(r["party_hp"][i] >= r["party_max_hp"][i] for i in range(size))
      for r in (old, now)
    ]
    stays = peace and old["map_id"] == now["map_id"]
    return stays and same and full == [False, True]

  events = {
    "badge": lambda: bits[0] < bits[1]
    if goal.number is None
    else (now["badges"] & ~old["badges"]) >> goal.number & 1,
    "win": lambda: wild or trainer,
    "win_wild": lambda: wild,
    "win_trainer": lambda: trainer,
    "win_leader": lambda: bits[0] < bits[1],
    "catch": lambda: more("dex_owned"),
    "heal": lambda: healed(1),
    "heal_party": lambda: healed(6) and old["party_hp"].sum() > 0,
    "item": lambda: more("capture_items"),
    "story": lambda: more("event_flags"),
    "talk": lambda: peace
    and now["dialog_open"]
    and not old["dialog_open"]
    and not now["menu_open"],
    "explore": lambda: not np.unpackbits(old["visited_maps"],
                                         bitorder="little")[now["map_id"]],
  }  # fmt: skip
  return bool(events[goal.kind]())


@pytest.mark.parametrize("seed", [0, 1])
def test_random_rows_agree_with_the_slow_reference(seed):
  rows = goal_rows.random_rows(400, seed)
  happened = set()
  for goal in _MANY:
    expected = [_slow(rows, t, goal) for t in range(400)]
    found = goals.reached(rows, goal)
    np.testing.assert_array_equal(found, expected, err_msg=str(goal))
    if any(expected):
      happened.add(goal.kind)
    assert sum(expected) < 400
  assert happened == set(goal_specs.PREDICATES)


@pytest.mark.parametrize("world", goal_rows.WORLDS)
def test_played_rows_agree_and_every_kind_is_reached(world):
  rows = goal_rows.played(world)
  length = len(rows["is_first"])
  at = np.random.default_rng(0).integers(1, length, 3)
  seen = [
    goal_specs.Goal("map", int(rows["map_id"][t])) for t in at
  ] + [
    goal_specs.Goal(
      "tile", *(int(rows[name][t]) for name in ("map_id", "y", "x"))
    )
    for t in np.flatnonzero(rows["has_control"])[at % 50]
  ]  # fmt: skip
  reached = set()
  for goal in [*_MANY, *seen, goal_specs.parse("reach level 7")]:
    expected = [_slow(rows, t, goal) for t in range(length)]
    found = goals.reached(rows, goal)
    np.testing.assert_array_equal(found, expected, err_msg=str(goal))
    if found.any() and not found.all():
      reached.add(goal.kind)
  assert reached == set(goal_specs.PREDICATES)


def test_the_judge_of_running_games_says_the_same_row_by_row():
  count, length = 5, 200
  games = [goal_rows.random_rows(length, seed) for seed in range(count)]
  rng = np.random.default_rng(0)
  wanted = rng.integers(len(_MANY), size=(length, count))
  arrays = goal_specs.stack(_MANY)
  whole = [[goals.reached(rows, goal) for goal in _MANY] for rows in games]
  judge = goals.Judge(count)
  row = {}
  for t in range(length):
    for name in goals.FIELDS:  # the caller may use its arrays again
      row.setdefault(name, np.stack([g[name][0] for g in games]))
      row[name][:] = [g[name][t] for g in games]
    found = judge.update(row, arrays[wanted[t]])
    expected = [whole[i][wanted[t, i]][t] for i in range(count)]
    np.testing.assert_array_equal(found, expected)


def test_a_game_that_begins_anew_reaches_nothing_by_that():
  judge = goals.Judge(2)
  wanted = goal_specs.stack([goal_specs.parse("reach map 6")] * 2)
  rows = _rows(dict(map_id=6), {})
  row = {name: rows[name][[1, 1]] for name in goals.FIELDS}  # no first rows
  assert judge.update(row, wanted).tolist() == [False, False]
  assert judge.update(row, wanted).tolist() == [True, True]
  judge.restart(np.array([True, False]))
  assert judge.update(row, wanted).tolist() == [False, True]
  assert judge.update(row, wanted).tolist() == [True, True]
  # One stays at its last row until it begins anew, the other goes on.
  flags = lambda **which: row | {k: np.array(v) for k, v in which.items()}
  ended = flags(is_last=[True, False])
  assert judge.update(ended, wanted).tolist() == [True, True]
  assert judge.update(ended, wanted).tolist() == [False, True]
  first = flags(is_first=[True, False])
  assert judge.update(first, wanted).tolist() == [False, True]
  assert judge.update(row, wanted).tolist() == [True, True]
