"""Goals in dreams: on recorded rows the very same as on the host."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_tools.game import goal_catalogue
from data_tools.game import goals as host
from data_tools.game import roms
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.goal_specs import Goal
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import progress
from pokedreamer_jax.world_model import tokens
from tests.data_tools import goal_rows
from tests.pokedreamer_jax import fakes

_TOKENS = {
  "chapter_one": presets.make("tiny").world_model.tokens,
  "great_vale": presets.make("vale").world_model.tokens,
}


def _config(text):
  return world_model_config.WorldModelConfig(
    deter=3, stoch=2, classes=2, tokens=text
  )


def _feat(cfg, rows):
  """Features `[T, ..., F]` of rows, whose tokens are the true ones."""
  ram = {f.name: jnp.asarray(rows[f.name]) for f in specs.RAM_FIELDS}
  ram = atlas_texts.told(None, ram)  # no goal asks for a text
  hot = tokens.one_hot(cfg.token_sizes, tokens.read(cfg.token_sizes, ram))
  rest = jnp.ones((*hot.shape[:-1], cfg.feat_dim - cfg.token_dim))
  return jnp.concatenate([rest, hot], -1)


def _arrivals(cfg, rows):
  """Of rows `[T]` of one episode, as `N = 1` dream."""
  feat = _feat(cfg, rows)[:, None]
  visited = progress.visited_flags(jnp.asarray(rows["visited_maps"]))
  terms = jnp.asarray(rows["reward_terms"])[1:, None]
  return goals.arrivals(cfg, feat, terms, visited[:, None])


@functools.partial(fakes.jit, static_argnums=0)
def _judge_rows(cfg, rows, arrays):
  return goals.reached_all(_arrivals(cfg, rows), arrays)[:, 0]


def _all_reached(cfg, rows, wanted):
  """`[T - 1, K]`, 0 where a row begins an episode."""
  rows = {k: v for k, v in rows.items() if k != "frame"}
  found = _judge_rows(cfg, rows, goal_specs.stack(wanted))
  assert found.dtype == jnp.float32
  return np.array(found) * ~rows["is_first"][1:, None]


def _judged(cfg, wanted):
  known = goals.judged(cfg)
  return [goal for goal in wanted if goal.kind in known]


@pytest.mark.parametrize("world", goal_rows.WORLDS)
def test_played_rows_reach_what_the_host_says(world):
  rows, cfg = goal_rows.played(world), _config(_TOKENS[world])
  wanted = goal_catalogue.catalogue(roms.resolve(world), tiles=True)
  wanted = _judged(cfg, wanted)
  goals.check_goals(cfg, wanted)
  # All kinds but one, and each is reached by some steps, and not by others.
  assert {g.kind for g in wanted} == set(goal_specs.PREDICATES) - {"heal_party"}
  found = _all_reached(cfg, rows, wanted)
  expected = np.stack([host.reached(rows, goal) for goal in wanted], axis=1)
  assert not expected[0].any()
  np.testing.assert_array_equal(found, expected[1:])
  steps = {
    kind: found[:, [g.kind == kind for g in wanted]]
    for kind in {g.kind for g in wanted}
  }
  assert all(0 < hits.sum() < hits.size for hits in steps.values())


_RANDOM = [
  goal_specs.parse(words)
  for words in (
    *(w for w in goal_specs.WORDS.values() if w and "{" not in w),
    *(f"reach map {m}" for m in range(8)),
    *(f"reach tile {m} {y} 1" for m in range(4) for y in range(3)),
    *("earn badge", "earn badge 0", "earn badge 1", "earn badge 2"),
    *(f"own {n} species" for n in range(1, 5)),
    *(f"reach level {n}" for n in range(1, 6)),
  )
]


@pytest.mark.parametrize("world", goal_rows.WORLDS)
def test_random_rows_reach_what_the_host_says(world):
  cfg = _config(_TOKENS[world])
  wanted = _judged(cfg, _RANDOM)
  for seed in range(3):
    rows = goal_rows.random_rows(600, seed)
    rows["active_slot"][:] = 0
    if "active_species" not in cfg.token_sizes:
      rows["party_species"][:] = 0
    found = _all_reached(cfg, rows, wanted)
    for i, goal in enumerate(wanted):
      expected = host.reached(rows, goal)[1:]
      np.testing.assert_array_equal(found[:, i], expected, err_msg=str(goal))
    # There are no maps 0 and 7, badge 2, fourth species, level 5.
    assert found.any(axis=0).sum() == len(wanted) - 8


def test_each_dream_is_judged_by_its_own_goal():
  world = "chapter_one"
  rows, cfg = goal_rows.played(world), _config(_TOKENS[world])
  wanted = _judged(cfg, goal_catalogue.catalogue(roms.resolve(world)))
  wanted.append(goal_specs.NONE)
  count, length = len(wanted), 60
  rows = {k: v[-length:] for k, v in rows.items() if k != "frame"}
  arrived = fakes.jit(functools.partial(_arrivals, cfg))(rows)
  dreams = jax.tree.map(lambda a: np.repeat(a, count, axis=1), arrived)
  arrays = goal_specs.stack(wanted)
  judge = fakes.jit(goals.reached)
  found = judge(dreams, arrays)
  expected = _all_reached(cfg, rows, wanted)
  np.testing.assert_array_equal(found, expected)
  assert not found[:, -1].any() and found.any(axis=0).sum() > 15
  # A goal may also change from step to step.
  number = np.random.default_rng(0).integers(count, size=(length - 1, count))
  changing = judge(dreams, arrays[number])
  picked = np.take_along_axis(expected, number, axis=1)
  np.testing.assert_array_equal(changing, picked)
  assert picked.any()


def test_other_goals_are_not_traced_anew():
  rows, cfg = goal_rows.random_rows(40), _config("map:8 y:8 x:8 control:2")
  traces = []

  @fakes.jit
  def judge(feat, terms, visited, wanted):
    traces.append(1)
    return goals.reached(goals.arrivals(cfg, feat, terms, visited), wanted)

  feat = _feat(cfg, rows).reshape(8, 5, -1)
  terms, visited = jnp.zeros((7, 5, 8)), jnp.zeros((8, 5, 256), bool)
  for words in ("reach map 3", "reach tile 2 1 0", "talk", "no goal"):
    array = jnp.asarray(goal_specs.parse(words).to_array())
    found = judge(feat, terms, visited, jnp.tile(array, (5, 1)))
    assert found.shape == (7, 5)
  assert len(traces) == 1


# In dreams.


def _states(cfg, **numbers):
  """Features `[L + 1, 1, F]` of token numbers, 0 where none are given."""
  length = len(next(iter(numbers.values())))
  zeros = np.zeros(length, int)
  values = [numbers.get(name, zeros) for name in cfg.token_sizes]
  hot = [
    np.eye(size, dtype=np.float32)[value]
    for size, value in zip(cfg.token_sizes.values(), values, strict=True)
  ]
  rest = np.zeros((length, cfg.feat_dim - cfg.token_dim), np.float32)
  return np.concatenate([rest, *hot], -1)[:, None]


def _dreamt(cfg, goal, terms=None, visited=(), **numbers):
  feat = _states(cfg, **numbers)
  length = len(feat) - 1
  array = np.zeros((length, 1, specs.NUM_REWARD_TERMS), np.float32)
  for name, values in (terms or {}).items():
    array[:, 0, specs.REWARD_TERMS.index(name)] = values
  seen = np.zeros((length + 1, 1, 256), bool)
  seen[:, 0, list(visited)] = True
  wanted = goal_specs.parse(goal).to_array()[None]
  return _judge_dream(cfg, feat, array, seen, wanted)[:, 0].tolist()


@functools.partial(fakes.jit, static_argnums=0)
def _judge_dream(cfg, feat, terms, visited, wanted):
  return goals.reached(goals.arrivals(cfg, feat, terms, visited), wanted)


_BATTLES = _config("battle:4 map:8")


def test_a_won_battle_is_as_likely_as_the_heads_say_where_one_is_over():
  battle, here = [1, 1, 0, 0, 2, 0, 3], [2] * 7
  terms = dict(
    wild_wins=[0.9, 0.75, 0.5, 0.5, 0.25, 0.5],
    trainer_wins=[0.9, 0.25, 0.5, 0.5, 2.0, 0.5],
  )
  judge = lambda words: _dreamt(_BATTLES, words, terms, battle=battle, map=here)
  assert judge("win wild battle") == [0, 0.75, 0, 0, 0, 0]
  assert judge("win trainer battle") == [0, 0, 0, 0, 1, 0]  # clipped
  assert judge("win battle") == [0, 0.75, 0, 0, 1, 0]


def test_a_dreamt_blackout_or_title_screen_wins_nothing():
  terms = dict(wild_wins=[1.0])
  for battle, here in (([1, 3], [2, 2]), ([1, 0], [2, 0]), ([1, 1], [2, 2])):
    assert _dreamt(
      _BATTLES, "win battle", terms, battle=battle, map=here
    ) == [0]  # fmt: skip


def test_no_game_runs_where_all_tokens_but_clocks_are_zero():
  cfg = _config("map:8 y:8 x:8 control:2 tile_clock:168 figure_clock:62")
  numbers = dict(map=[0, 0, 0], y=[0, 0, 1], tile_clock=[9, 9, 9])
  assert _dreamt(cfg, "reach map 0", **numbers) == [0, 1]
  numbers = dict(map=[0, 3, 4], tile_clock=[9, 9, 9])
  assert _dreamt(cfg, "explore new map", **numbers) == [0, 1]


def test_exploring_asks_what_was_visited_before_each_step():
  cfg = _config("map:8 y:8")
  feat = _states(cfg, map=[1, 2, 1, 3, 3])
  seen = np.zeros((5, 1, 256), bool)
  for i, known in enumerate(
    [(1, 4), (1, 2, 4), (1, 2, 4), *[(1, 2, 3, 4)] * 2]
  ):
    seen[i, 0, list(known)] = True
  wanted = goal_specs.parse("explore new map").to_array()[None]
  terms = np.zeros((4, 1, specs.NUM_REWARD_TERMS), np.float32)
  found = _judge_dream(cfg, feat, terms, seen, wanted)
  assert found[:, 0].tolist() == [1, 0, 1, 0]
  assert _dreamt(cfg, "explore new map", visited=(5,), map=[1, 5, 6]) == [0, 1]


def test_a_certain_badge_is_the_one_that_lifts_the_count_past_it():
  cfg = _config("badges:9 map:8")
  numbers = dict(badges=[0, 1, 1, 3, 2, 3], map=[1] * 6)
  expected = {
    "": [1, 0, 1, 0, 1], " 0": [1, 0, 0, 0, 0], " 1": [0, 0, 1, 0, 0],
    " 2": [0, 0, 1, 0, 1], " 3": [0, 0, 0, 0, 0],
  }  # fmt: skip
  for number, found in expected.items():
    assert _dreamt(cfg, f"earn badge{number}", **numbers) == found
  numbers["map"] = [0] * 6
  numbers["badges"] = [0, 1, 1, 0, 2, 3]  # no game, a game, no game, a game
  assert _dreamt(cfg, "earn badge", **numbers) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("full", ["max_hp:40", "active_max_hp:40"])
def test_the_first_creature_heals(full):
  cfg = _config(f"map:8 battle:4 hp:40 level:9 species:5 {full}")
  name = full.partition(":")[0]
  start = dict(map=2, battle=0, hp=9, level=5, species=1) | {name: 20}
  healed = start | dict(hp=20)
  changes = {
    "nothing": {}, "map": dict(map=3), "battle": dict(battle=1),
    "level": dict(level=6), "species": dict(species=2), "hp": dict(hp=19),
    "most": {name: 19},
  }  # fmt: skip
  for what, change in changes.items():
    rows = [start, healed | change]
    numbers = {k: [row[k] for row in rows] for k in start}
    assert _dreamt(cfg, "heal", **numbers) == [what == "nothing"], what
  numbers = {k: [healed[k]] * 2 for k in start}
  assert _dreamt(cfg, "heal", **numbers) == [0]


def test_a_step_does_not_ask_what_comes_later():
  rows, other = (goal_rows.random_rows(60, seed) for seed in (0, 1))
  for steps in (rows, other):
    steps["is_first"][:] = False
  cfg = _config(_TOKENS["great_vale"])
  wanted = _judged(cfg, _RANDOM)
  whole = _all_reached(cfg, rows, wanted)
  for stop in (2, 30):
    mixed = {k: np.concatenate([v[:stop], other[k][stop:]]) for k, v in
             rows.items()}  # fmt: skip
    found = _all_reached(cfg, mixed, wanted)
    np.testing.assert_array_equal(found[: stop - 1], whole[: stop - 1])
    assert (found[stop:] != whole[stop:]).any()


# What cannot be judged.


@pytest.mark.parametrize(
  ("text", "kind", "token"),
  [
    ("y:4 x:4", "map", "map"),
    ("map:4 y:4 x:4", "tile", "control"),
    ("map:4", "badge", "badges"),
    ("map:4", "win_leader", "badges"),
    ("map:4", "win", "battle"),
    ("map:4", "win_wild", "battle"),
    ("map:4", "win_trainer", "battle"),
    ("map:4", "catch", "dex_owned"),
    ("map:4", "own", "dex_owned"),
    ("map:4 battle:4 hp:4 level:4", "heal", "active_max_hp"),
    ("map:4", "level", "level"),
    ("map:4", "item", "capture_items"),
    ("map:4", "story", "event_flags"),
    ("map:4 battle:4 dialog:2", "talk", "menu"),
    ("y:4", "explore", "map"),
  ],
)
def test_a_missing_token_is_named(text, kind, token):
  cfg = _config(text)
  line = rf"goal\.kind: '{kind}' is judged by the token '{token}', which"
  with pytest.raises(ValueError, match=line) as error:
    goals.check(cfg, [kind])
  assert "\n" not in str(error.value) and kind not in goals.judged(cfg)


def test_what_no_token_tells_is_refused_and_the_rest_is_not():
  cfg = _config(_TOKENS["great_vale"])
  for kind, line in (
    ("heal_party", "no token tells the HP of a whole party, expected one of"),
    ("text", "nothing can judge a text"),
    ("fly", "goal.kind: 'fly', expected one of"),
  ):
    with pytest.raises(ValueError, match=line):
      goals.check(cfg, ["map", kind])
  goals.check(cfg, ["none", *goals.judged(cfg)])
  off = dataclasses.replace(cfg, ram="off", hp_bars=False)
  assert goals.judged(off) == []
  with pytest.raises(
    ValueError, match="'explore' is judged by the token 'map'"
  ):
    goals.check(off, ["explore"])


def test_numbers_beyond_a_token_are_refused():
  cfg = _config("map:8 y:8 x:256 control:2 badges:4 dex_owned:6 level:9")
  fine = "reach map 6,reach tile 6 6 255,earn badge 2,own 5 species,earn badge"
  goals.check_goals(cfg, map(goal_specs.parse, fine.split(",")))
  for words, line in (
    ("reach map 7", "goal.map_id: 7 of 'reach map 7', expected at most 6: the"),
    ("reach tile 1 7 1", "goal.y: 7 of 'reach tile 1 7 1', expected at most 6"),
    ("earn badge 3", "goal.number: 3 of 'earn badge 3', expected at most 2"),
    ("own 6 species", "expected at most 5: the token 'dex_owned' has 6 values"),
    ("reach level 9", "expected at most 8: the token 'level'"),
    ("get capture item", "the token 'capture_items', which"),
  ):
    with pytest.raises(ValueError, match=line):
      goals.check_goals(cfg, [goal_specs.parse(words)])


# The table.


def test_the_table_gives_arrays_and_vectors_by_number():
  wanted = [goal_specs.NONE, Goal("talk"), Goal("tile", 5, y=2, x=3)]
  table = goals.table(wanted)
  number = jnp.asarray([[2, 0], [1, 2]])
  found = fakes.jit(lambda t, n: t.look_up(n))(table, number)
  for place, goal in np.ndenumerate(np.array([[2, 0], [1, 2]])):
    assert goal_specs.from_array(np.array(found.goals[place])) == wanted[goal]
    np.testing.assert_array_equal(
      found.embeddings[place], goal_embeddings.embed_goal(wanted[goal])
    )
  assert found.goals.dtype == jnp.int32 and found.embeddings.shape == (2, 2, 64)
