"""Dreams: which index is which time, what actions do, and rewards by loop."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_N, _L = 6, 5
_CFG = fakes.config().world_model
_TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}


def _policy(key, feat):
  """Depends on the key and on the features."""
  noise = jax.random.normal(key, (len(feat), specs.NUM_ACTIONS))
  return jnp.argmax(feat[:, : specs.NUM_ACTIONS] + noise, axis=-1)


@chex.assert_max_traces(n=1)
def _imagine_once(params, key, start, visited):
  reached = progress_lib.recorded(_CFG.token_sizes, start.tokens, visited)
  return imagination.imagine(_CFG, params, key, start, reached, _policy, _L)


_imagine = fakes.jit(_imagine_once)
_replay = {
  most_likely: fakes.jit(
    lambda params, key, start, action, most_likely=most_likely: (
      imagination.replay_actions(_CFG, params, key, start, action, most_likely)
    )
  )
  for most_likely in (False, True)
}


def _start(seed=0):
  rng = np.random.default_rng(seed)
  numbers = np.stack(
    [rng.integers(size, size=_N) for size in _CFG.token_sizes.values()], -1
  )
  stoch = np.eye(_CFG.classes)[
    rng.integers(_CFG.classes, size=(_N, _CFG.stoch))
  ]
  return world_model.State(
    deter=jnp.asarray(rng.normal(size=(_N, _CFG.deter)), jnp.float32),
    stoch=jnp.asarray(stoch.reshape(_N, -1), jnp.float32),
    tokens=tokens.one_hot(_CFG.token_sizes, jnp.asarray(numbers)),
  )


def _actions(seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.integers(specs.NUM_ACTIONS, size=(_L, _N)))


def _visited():
  return jnp.zeros((_N, progress_lib.NUM_MAPS), bool).at[:3, :4].set(True)


@pytest.fixture(scope="module")
def params():
  return fakes.params(_CFG, noise=0.3)


@pytest.fixture(scope="module")
def rollout(params):
  return _imagine(params, jax.random.key(1), _start(), _visited())


def test_shapes(rollout):
  chex.assert_shape(rollout.state.deter, (_L + 1, _N, _CFG.deter))
  chex.assert_shape(rollout.feat, (_L + 1, _N, _CFG.feat_dim))
  chex.assert_shape([rollout.action, rollout.cont], (_L, _N))
  chex.assert_shape(rollout.reward_terms, (_L, _N, specs.NUM_REWARD_TERMS))
  chex.assert_shape(
    rollout.progress.visited, (_L + 1, _N, progress_lib.NUM_MAPS)
  )
  chex.assert_shape(rollout.level, (_L + 1, _N))
  chex.assert_tree_all_finite(rollout)


def test_the_dream_begins_with_its_start(rollout):
  first = jax.tree.map(lambda leaf: leaf[0], rollout.state)
  chex.assert_trees_all_equal(first, _start())
  np.testing.assert_array_equal(rollout.progress.visited[0], _visited())
  np.testing.assert_array_equal(
    rollout.feat, world_model.features(rollout.state)
  )


def test_an_action_is_taken_in_its_state(rollout, params):
  keys = jax.random.split(jax.random.key(1), _L)
  for i in range(_L):
    action_key, _ = jax.random.split(keys[i])
    np.testing.assert_array_equal(
      rollout.action[i], _policy(action_key, rollout.feat[i])
    )
  # The GRU knows no chance: state and action give the next `deter`.
  flat = jax.tree.map(
    lambda leaf: leaf[:-1].reshape(-1, leaf.shape[-1]), rollout.state
  )
  step = fakes.jit(functools.partial(imagination.prior_step, _CFG))
  action = rollout.action.reshape(-1)
  following = step(params, jax.random.key(9), flat, action)
  np.testing.assert_allclose(
    following.deter.reshape(_L, _N, -1), rollout.state.deter[1:], atol=1e-5
  )


def test_dreamt_states_are_one_hot(rollout):
  stoch = np.asarray(rollout.state.stoch).reshape(-1, _CFG.classes)
  assert (np.sort(stoch, axis=-1) == np.eye(_CFG.classes)[-1]).all()
  for place in tokens.slices(_CFG.token_sizes).values():
    part = np.asarray(rollout.state.tokens[..., place])
    assert ((part == 0) | (part == 1)).all()
    assert (part.sum(-1) == 1).all()


def test_rewards_and_continues_belong_to_the_arrival(rollout, params):
  feat = rollout.feat[1:]
  logit = parts.apply(_CFG, params, "continue", feat)
  np.testing.assert_allclose(rollout.cont, jax.nn.sigmoid(logit), rtol=1e-4)
  predicted = reward_heads.predict(parts.apply(_CFG, params, "reward", feat))
  for name in ("wild_wins", "trainer_wins", "xp", "hp_lost"):
    np.testing.assert_allclose(
      rollout.reward_terms[..., _TERM[name]],
      predicted[..., _TERM[name]],
      rtol=1e-3,
    )
  rollout = jax.device_get(rollout)
  names = list(_CFG.token_sizes)
  numbers = np.asarray(tokens.numbers(_CFG.token_sizes, rollout.state.tokens))
  paid = 0
  for n in range(_N):
    visited = set(np.flatnonzero(rollout.progress.visited[0, n]).tolist())
    states = [dict(zip(names, row, strict=True)) for row in numbers[:, n]]
    start = int(states[0]["map"])  # where it starts is no news
    for step in range(_L):
      after = states[step + 1]
      terms = rollout.reward_terms[step, n]
      known = visited | {start} if step == 0 else visited
      assert terms[_TERM["new_maps"]] == (after["map"] not in known)
      for term, token in (("badges", "badges"), ("species", "dex_owned")):
        best = max(state[token] for state in states[: step + 1])
        assert terms[_TERM[term]] == max(after[token] - best, 0)
      paid += float(terms[_TERM["new_maps"]] + terms[_TERM["badges"]])
      visited.add(int(after["map"]))
      seen = rollout.progress.visited[step + 1, n]
      assert set(np.flatnonzero(seen)) == visited
  assert paid > 0  # the loop above compared something


def test_where_a_dream_starts_is_no_news():
  # The title screen: memory holds some map, and none is visited.
  start = world_model.initial_state(_CFG, (_N,))
  start = start.replace(tokens=_start().tokens)
  nowhere = jnp.zeros_like(_visited())
  staying = fakes.obedient_params(_CFG)  # the map never changes
  rollout = _imagine(staying, jax.random.key(1), start, nowhere)
  assert not rollout.reward_terms[..., _TERM["new_maps"]].any()
  assert not rollout.progress.visited[0].any()
  assert (rollout.progress.visited[1:].sum(axis=-1) == 1).all()


def test_keys_decide_and_nothing_is_traced_again(rollout, params):
  again = _imagine(params, jax.random.key(1), _start(), _visited())
  chex.assert_trees_all_equal(again, rollout)
  other = _imagine(params, jax.random.key(2), _start(), _visited())
  assert (other.state.tokens != rollout.state.tokens).any()
  _imagine(fakes.params(_CFG), jax.random.key(1), _start(3), ~_visited())


@pytest.mark.parametrize("length", [0, -1])
def test_a_dream_has_at_least_one_step(params, length):
  with pytest.raises(ValueError, match=f"length: {length}, expected at least"):
    imagination.imagine(
      *(_CFG, params, jax.random.key(0), _start()),
      *(progress_lib.nothing((_N,)), _policy, length),
    )


def test_the_most_likely_dream_needs_no_key(params):
  one, two = (
    _replay[True](params, jax.random.key(seed), _start(), _actions())
    for seed in (0, 1)
  )
  chex.assert_trees_all_equal(one, two)
  one, two = (
    _replay[False](params, jax.random.key(seed), _start(), _actions())
    for seed in (0, 1)
  )
  assert (one.tokens != two.tokens).any()


def test_an_action_changes_what_follows_it_and_nothing_before(params):
  action = _actions()
  changed = action.at[2].add(1) % specs.NUM_ACTIONS
  one, two = (
    _replay[True](params, jax.random.key(0), _start(), a)
    for a in (action, changed)
  )
  same = np.all(np.asarray(one.deter == two.deter), axis=-1)
  # Index 0 follows the first action, so index 2 is the first to differ.
  expected = np.broadcast_to(np.arange(_L)[:, None] < 2, (_L, _N))
  np.testing.assert_array_equal(same, expected)


@pytest.mark.parametrize("most_likely", [False, True])
def test_a_planted_effect_of_actions_is_obeyed(most_likely):
  action = _actions()
  start = world_model.initial_state(_CFG, (_N,))
  start = start.replace(tokens=_start().tokens)
  states = _replay[most_likely](
    fakes.obedient_params(_CFG), jax.random.key(0), start, action
  )
  numbers = tokens.numbers(_CFG.token_sizes, states.tokens)
  x = list(_CFG.token_sizes).index("x")
  np.testing.assert_array_equal(numbers[..., x], action)
  at = list(_CFG.token_sizes).index("map")
  stays = tokens.numbers(_CFG.token_sizes, start.tokens)[:, at]
  assert (numbers[..., at] == stays[None]).all()


def test_without_ram_the_heads_pay_and_no_map_is_known():
  cfg = fakes.config("world_model.ram=off").world_model
  params = fakes.params(cfg, noise=0.3)
  run = fakes.jit(
    lambda params, key, visited: imagination.imagine(
      cfg,
      params,
      key,
      world_model.initial_state(cfg, (_N,)),
      progress_lib.nothing((_N,)).replace(visited=visited),
      _policy,
      _L,
    )
  )
  rollout = run(params, jax.random.key(0), _visited())
  chex.assert_shape(rollout.state.tokens, (_L + 1, _N, 0))
  chex.assert_tree_all_finite(rollout)
  assert (rollout.progress.visited == _visited()[None]).all()
  predicted = reward_heads.predict(
    parts.apply(cfg, params, "reward", rollout.feat[1:])
  )
  np.testing.assert_allclose(rollout.reward_terms, predicted, rtol=1e-3)
