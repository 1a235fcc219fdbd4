"""Values of all goals: a solved chain, edges of episodes, a slow loss."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import all_goals
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.goal_specs import Goal
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

# A chain of cells: `left` and `right` move, at the ends they stay; cell 4 ends
# the world. Goal k is to be in cell k, which holds as long as one is there.
CELLS, GAMMA = 5, 0.9
LEFT, RIGHT = specs.ACTIONS.index("left"), specs.ACTIONS.index("right")
_NEXT = np.array([[max(c - 1, 0), min(c + 1, 4)] for c in range(CELLS)])
# Cell 2 by `left` leads to the next episode's first row: no step at all.
_EDGE = (2, 0)


def _config(**fields):
  values = {
    "gamma": GAMMA,
    "units": 32,
    "learning_rate": 1e-2,
    "slow_rate": 0.2,
    "expectile_ramp": 100,
    **fields,
  }
  return dataclasses.replace(
    presets.make("debug"),
    world_model=world_model_config.WorldModelConfig(
      deter=CELLS, stoch=1, classes=2, ram="off"
    ),
    actor_critic=behaviour_config.ActorCriticConfig(),
    all_goals=behaviour_config.AllGoalsConfig(**values),
  )


def _inputs(cells):
  hot = jax.nn.one_hot(cells, CELLS)
  return jnp.concatenate([hot, jnp.zeros((*hot.shape[:-1], 2))], axis=-1)


def _draw(key, rows, goals):
  """Every step of the chain once; one is no step, and has no weight."""
  del key, rows
  cell, side = map(jnp.ravel, jnp.indices((CELLS - 1, 2)))
  edge = (cell == _EDGE[0]) & (side == _EDGE[1])
  # What would be learned of it.
  after = jnp.where(edge, CELLS - 1, jnp.asarray(_NEXT)[cell, side])
  success = after[:, None] == goals[None, :, 1]
  return all_goals.Steps(
    inputs=_inputs(jnp.stack([cell, after])),
    action=jnp.where(side == 0, LEFT, RIGHT)[None],
    success=success[None].astype(jnp.float32),
    cont=(after != CELLS - 1)[None].astype(jnp.float32),
    weight=1.0 - edge[None],
  )


def _expectile(values, tau):
  """By bisection, of a few values, each as likely."""
  low, high = min(values), max(values)
  for _ in range(60):
    v = (low + high) / 2
    lean = sum(abs(tau - (q < v)) * (q - v) for q in values)
    low, high = (v, high) if lean > 0 else (low, v)
  return v


def _solve(tau):
  """`Q [cells, sides, goals]` and `V`; NaN where there is no step."""
  value, q = np.zeros((CELLS, CELLS)), np.zeros((CELLS, 2, CELLS))
  for _ in range(300):
    for cell in range(CELLS - 1):
      for side in range(2):
        after = _NEXT[cell, side]
        going = 0.0 if after == CELLS - 1 else GAMMA
        for k in range(CELLS):
          q[cell, side, k] = 1.0 if after == k else going * value[after, k]
      sides = [s for s in range(2) if (cell, s) != _EDGE]
      for k in range(CELLS):
        seen = [q[cell, s, k] for s in sides]
        value[cell, k] = max(seen) if tau is None else _expectile(seen, tau)
  q[_EDGE] = np.nan
  return q[:-1], value[:-1]


@functools.cache
def _learned():
  cfg = _config(expectile=0.9)
  goals = goal_specs.stack(Goal("map", k) for k in range(CELLS))
  update = all_goals.make_update(cfg, _draw)

  @fakes.jit
  def train(state):
    step = lambda _, state: update(state, jax.random.key(1), None, goals)[0]
    state = jax.lax.fori_loop(0, 500, step, state)
    inputs = _inputs(jnp.arange(CELLS - 1))
    q = all_goals.q_values(cfg, state.slow, inputs)
    return state, q, all_goals.values(cfg, state.slow, inputs)

  made = all_goals.init_state(cfg, jax.random.key(0), CELLS)
  state, q, value = train(made)
  q = np.array(q)[..., [LEFT, RIGHT]].swapaxes(1, 2)
  return cfg, state, q, np.array(value)


def test_a_chain_has_the_values_that_one_computes():
  _, _, q, value = _learned()
  expected_q, expected_value = _solve(0.9)
  known = ~np.isnan(expected_q)
  assert known.sum() == q.size - CELLS
  np.testing.assert_allclose(q[known], expected_q[known], atol=0.04)
  np.testing.assert_allclose(value, expected_value, atol=0.04)
  # It succeeds who arrives: in cell 1 by left from 2 or right from 0, and who
  # stands in 0 and stays there; not who leaves it.
  assert q[0, 0, 0] > 0.95 and q[0, 1, 1] > 0.95 and q[1, 0, 0] > 0.95
  assert q[0, 1, 0] < 0.9
  # Behind the end of the world there is nothing, also no cell 3.
  assert q[3, 1, 3] < 0.04 and q[3, 1, 4] > 0.95
  # From cell 2 no step leads left: it is got to by cell 3, or not at all.
  assert value[2, 1] < 0.04 and value[2, 4] > 0.85


def test_an_expectile_is_near_the_best_and_not_above_it():
  best_q, best = _solve(None)
  _, _, q, value = _learned()
  known = ~np.isnan(best_q)
  assert (q[known] - best_q[known]).max() < 0.03
  assert (value - best).max() < 0.03
  assert np.abs(value - best).max() < 0.12
  # What was played on the average is less, and far from it.
  mean = _solve(0.5)[1]
  assert (best - mean).max() > 0.4 and (value - mean).min() > -0.03


def _loss_by_loop(cfg, params, slow, steps):
  """The loss, element by element."""
  inputs = np.asarray(steps.inputs)
  say = fakes.jit(
    lambda *x: (all_goals.q_values(cfg, *x), all_goals.values(cfg, *x))
  )
  q, v = map(np.array, say(params, inputs))
  slow_q, slow_v = map(np.array, say(slow, inputs))
  entropy = lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p))
  total, weights = 0.0, 0.0
  length, count, goals = steps.success.shape
  for t in range(length):
    for n in range(count):
      action, weight = int(steps.action[t, n]), float(steps.weight[t, n])
      weights += weight
      for k in range(goals):
        won = float(steps.success[t, n, k])
        behind = float(steps.cont[t, n]) * slow_v[t + 1, n, k]
        target = won + (1 - won) * cfg.all_goals.gamma * behind
        said = slow_q[t, n, k, action]
        lean = 1 - cfg.all_goals.expectile
        lean = cfg.all_goals.expectile if said >= v[t, n, k] else lean
        one = entropy(q[t, n, k, action], target)
        one += lean * entropy(v[t, n, k], said)
        total += weight * one / goals
  return total / weights


def test_the_loss_is_that_of_a_loop():
  cfg = _config(expectile=0.8)
  rng = np.random.default_rng(0)
  shape, goals = (4, 3), 5
  params, slow = (
    jax.tree.map(
      lambda leaf: leaf + 0.5 * rng.normal(size=leaf.shape).astype("f"),
      all_goals.init_state(cfg, jax.random.key(0), goals).params,
    )
    for _ in range(2)
  )
  steps = all_goals.Steps(
    inputs=jnp.asarray(rng.normal(size=(5, 3, 7)), jnp.float32),
    action=jnp.asarray(rng.integers(0, specs.NUM_ACTIONS, shape)),
    success=jnp.asarray(rng.choice([0, 0.3, 1], (*shape, goals)), jnp.float32),
    cont=jnp.asarray(rng.integers(0, 2, shape), jnp.float32),
    weight=jnp.asarray(rng.integers(0, 2, shape), jnp.float32),
  )
  run = fakes.jit(
    jax.value_and_grad(all_goals.loss, argnums=2, has_aux=True),
    static_argnums=0,
  )
  arguments = (cfg, params, slow, steps, steps.inputs[:-1], 0.8)
  (found, metrics), grads = run(*arguments)
  expected = _loss_by_loop(cfg, params, slow, steps)
  np.testing.assert_allclose(found, expected, rtol=1e-4)
  assert metrics["loss/q"] + metrics["loss/v"] == pytest.approx(float(found))
  # What has no weight does not matter, and nothing flows through the targets.
  other = steps.replace(
    action=jnp.where(steps.weight > 0, steps.action, 0),
    success=jnp.where(steps.weight[..., None] > 0, steps.success, 1.0),
    cont=jnp.where(steps.weight > 0, steps.cont, 1.0),
  )
  assert run(*arguments[:3], other, *arguments[4:])[0][0] == found
  assert not any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(grads))


def test_the_expectile_rises_from_the_mean():
  cfg = _config(expectile=0.9, expectile_ramp=10)
  rises = [
    float(all_goals.expectile_at(cfg, jnp.asarray(n))) for n in (0, 5, 99)
  ]
  np.testing.assert_allclose(rises, [0.5, 0.7, 0.9], rtol=1e-6)
  cfg = _config(expectile=0.9, expectile_ramp=0)
  assert all_goals.expectile_at(cfg, jnp.asarray(0)) == pytest.approx(0.9)


# Recorded rows.

_TOKENS = world_model_config.WorldModelConfig(
  deter=4, stoch=2, classes=2, tokens="map:6 dex_owned:4 battle:3"
)
_LENGTHS = (6, 5, 7)


def _recorded():
  """Three episodes; the map is the row's number modulo 5, plus 1."""
  count = sum(_LENGTHS)
  number = np.arange(count)
  starts = np.cumsum((0, *_LENGTHS[:-1]))
  is_first = np.isin(number, starts)
  is_last = np.roll(is_first, -1)
  maps = number % 5 + 1
  hot = np.concatenate(
    [
      np.eye(6)[maps],
      np.eye(4)[np.minimum(number - starts[np.cumsum(is_first) - 1], 3)],
      np.eye(3)[np.where(number % 3 == 1, 1, 0)],
    ],
    axis=1,
  )
  terms = np.zeros((count, specs.NUM_REWARD_TERMS), np.float32)
  terms[number % 3 == 2, specs.REWARD_TERMS.index("wild_wins")] = 1.0
  state = world_model.initial_state(_TOKENS, (count,))
  state = state.replace(
    deter=jnp.tile(jnp.asarray(number, jnp.float32)[:, None], (1, 4)),
    tokens=jnp.asarray(hot, jnp.float32),
  )
  batch = {
    "action": (number % specs.NUM_ACTIONS).astype(np.uint8),
    "behaviour": np.zeros(count, np.uint8),
    "is_first": is_first,
    "is_last": is_last,
    "is_terminal": is_last & (number == starts[1] + _LENGTHS[1] - 1),
    "visited_maps": np.zeros((count, 32), np.uint8),
    "party_level": np.zeros((count, 6), np.uint8),
    "reward_terms": terms,
  }
  rows = latents.pack(state, {k: jnp.asarray(v) for k, v in batch.items()})
  rows = latents.with_earned(jax.tree.map(np.asarray, rows))
  return jax.tree.map(jnp.asarray, rows), batch, maps


def _recorded_config():
  return dataclasses.replace(
    _config(batch_size=100, length=3),
    world_model=_TOKENS,
    actor_critic=behaviour_config.ActorCriticConfig(reads_progress=True),
  )


_GOALS = [
  *(Goal("map", m) for m in range(1, 6)),
  *(Goal("win_wild"), Goal("catch"), Goal("own", number=3), goal_specs.NONE),
]


def _expected(batch, maps):
  """`[M, K]`: goals that the step arriving at each row reaches, by hand."""
  count = len(maps)
  found = np.zeros((count, len(_GOALS)), bool)
  since = 0
  for t in range(count):
    since = 0 if batch["is_first"][t] else since + 1
    if since:
      found[t, maps[t] - 1] = True
      found[t, 5] = t % 3 == 2  # a battle on the row before, and won
      found[t, 6] = since <= 3  # one more owned on each of these rows
      found[t, 7] = since >= 3
  return found


def test_steps_are_judged_where_they_arrive_and_never_across_an_edge():
  rows, batch, maps = _recorded()
  cfg = _recorded_config()
  goals = goal_specs.stack(_GOALS)
  draw = fakes.jit(chex.assert_max_traces(all_goals.make_draw_fn(cfg), n=1))
  steps = draw(jax.random.key(0), rows, goals)
  # Goals are an argument.
  again = draw(jax.random.key(0), rows, goals[::-1].copy())
  np.testing.assert_array_equal(again.success[..., ::-1], steps.success)
  chex.assert_shape(steps.inputs, (4, 100, all_goals.inputs_size(cfg)))
  at = np.asarray(steps.inputs[..., 0]).astype(int)  # [L + 1, N]
  assert {*at[0]} == set(range(sum(_LENGTHS) - 3))
  episode = np.cumsum(batch["is_first"])
  same = episode[at[:-1]] == episode[at[1:]]
  np.testing.assert_array_equal(steps.weight, same)
  np.testing.assert_array_equal(steps.action, batch["action"][at[:-1]])
  expected = _expected(batch, maps)
  np.testing.assert_array_equal(steps.success, expected[at[1:]])
  assert expected.any(axis=0).tolist() == [True] * 8 + [False]
  np.testing.assert_array_equal(steps.cont, ~batch["is_terminal"][at[1:]])
  whole = fakes.jit(all_goals.judge_rows, static_argnums=0)(cfg, rows, goals)
  np.testing.assert_array_equal(whole, expected[1:])
  few = latents.take(rows, jnp.arange(3))
  with pytest.raises(ValueError, match=r"all_goals\.length: 3, 3 recorded"):
    all_goals.make_draw_fn(cfg)(jax.random.key(0), few, goals)


# What others ask.


def test_each_state_is_told_of_its_own_goal():
  cfg, state, _, value = _learned()
  number = jnp.asarray([4, -1, 0, 2])
  found = all_goals.bootstrap(
    cfg, state.slow, number, _inputs(jnp.arange(CELLS - 1))
  )
  expected = [value[0, 4], np.nan, value[2, 0], value[3, 2]]
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  asked = goal_specs.stack([Goal("talk"), Goal("map", 3), Goal("map", 0)])
  learned = goal_specs.stack(Goal("map", k) for k in range(CELLS))
  np.testing.assert_array_equal(
    all_goals.numbers_of(asked, learned), [-1, 3, 0]
  )


def test_a_value_is_a_number_of_steps():
  cfg, state, _, value = _learned()
  steps = all_goals.steps_to(cfg, jnp.asarray([1.0, GAMMA, GAMMA**9, 0.0]))
  np.testing.assert_allclose(steps, [1, 2, 10, np.inf], rtol=1e-5)
  within = all_goals.reachable(cfg, jnp.asarray(value[0]), 4.7)
  # Cell 4 is four steps away; how sure expectiles are of it costs the rest.
  assert within.tolist() == [True] * 5
  assert not all_goals.reachable(cfg, jnp.asarray(value[3, 0]), 30)
  del state


def test_a_policys_goal_behind_the_inputs_is_not_read():
  cfg = _recorded_config()
  rows, *_ = _recorded()

  @fakes.jit
  def both(params):
    state = latents.unpack(_TOKENS, rows)
    progress = latents.progress(_TOKENS, rows, state)
    inputs = all_goals.read(cfg, state, progress)
    assert inputs.shape[-1] == all_goals.inputs_size(cfg)
    assert inputs.shape[-1] > _TOKENS.feat_dim
    whole = policy_inputs.read(cfg, state, progress)
    behind = jnp.concatenate([whole, jnp.ones((len(inputs), 64))], axis=-1)
    return [all_goals.values(cfg, params, x) for x in (inputs, behind)]

  alone, behind = both(all_goals.init_state(cfg, jax.random.key(0), 3).params)
  np.testing.assert_array_equal(alone, behind)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("gamma", 1.0),
    ("gamma", -0.1),
    ("expectile", 0.4),
    ("expectile", 1.0),
    ("dropout", 1.0),
    ("slow_rate", 0.0),
    ("steps", 0),
    ("tiles", -1),
  ],
)
def test_what_makes_no_sense_is_refused(field, value):
  with pytest.raises(ValueError, match=f"{field}: {value}, expected"):
    behaviour_config.AllGoalsConfig(**{field: value})
