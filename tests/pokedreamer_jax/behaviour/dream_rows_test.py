"""Judged dreams: a chain of three states by hand, for each algorithm.

The chain catches what is off by one: an action and its baseline belong to the
state the action was taken in; the weight of a step holds no continuation of
its own outcome; nothing behind a success teaches.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.behaviour import actor_losses
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import policy_update
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import actor_critic
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.behaviour import toys

_VALUE = jnp.array([1.0, 2.0, 4.0])  # of the states
# Dream 0 succeeds on arriving in state 2, and what is dreamt behind pays 9
# more; dream 1 pays nothing. Time goes down.
_STATE = np.array([[0, 0], [1, 1], [2, 1], [0, 2]])
_ACTION = np.array([[0, 3], [1, 4], [2, 5]])
_REWARD = np.array([[0.0, 0.0], [4.0, 0.0], [9.0, 0.0]])
_CONT = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
# gamma and lambda are 1/2. Of dream 0, from the end:
#   V_2 = 9 + 1/2 v(0) = 9.5, V_1 = 4 (state 2 is terminal),
#   V_0 = 0 + 1/2 (1/2 v(1) + 1/2 V_1) = 1.5
# and of dream 1: V_2 = 1/2 v(2) = 2, V_1 = 1/2 (1/2 v(1) + 1/2 V_2) = 1,
#   V_0 = 1/2 (1/2 v(1) + 1/2 V_1) = 0.75.
_RETURNS = np.array([[1.5, 0.75], [4.0, 1.0], [9.5, 2.0]])
# Less v of the state that the action was taken in: 0; 1; 2 and 1.
_RAW = np.array([[0.5, -0.25], [2.0, -1.0], [5.5, 0.0]])
# The step into the terminal state counts whole, that behind it not at all.
_WEIGHT = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])

_CENTRED = _RAW - 1.25 / 5  # the mean by weight: (.5 - .25 + 2 - 1 + 0) / 5
_DEVIATION = np.sqrt(np.sum(_WEIGHT * _CENTRED**2) / 5)
# Outcomes with the last value: 1/2 4 = 2 and 1/8 v(2) = 0.5; means 1.25, 0.75.
_OUTCOME = np.tile([1.0, -1.0], (3, 1))
# Of the returns .75, 1, 1.5, 2, 4 the 5th and 95th percentile are .75 and 4.
_ADVANTAGE = {
  "ppo": _CENTRED / _DEVIATION,
  "grpo": _OUTCOME,
  "reinforce": _RAW / 3.25,
  "pmpo": _RAW,
}
_OPTIONS = {"grpo": {"group_size": 2}}


def _config(algorithm, **policy):
  return toys.config(
    algorithm=algorithm,
    **{"starts": 2, "horizon": 3, "minibatches": 1, "gamma": 0.5},
    **{"lambda_": 0.5, "entropy_scale": 0.0, **_OPTIONS.get(algorithm, {})},
    **policy,
  )


@pytest.fixture
def chain(monkeypatch):
  """The dreams; critic and actor are tables by state."""
  monkeypatch.setattr(
    critics, "bootstrap_values", lambda cfg, state, feat: feat @ _VALUE
  )
  monkeypatch.setattr(
    actor_critic,
    "actor_logits",
    lambda cfg, params, feat: jax.nn.log_softmax(feat @ params),
  )
  terms = jnp.zeros((3, 2, 8)).at[..., toys.NEW_MAP].set(2 * _REWARD)
  return toys.Rollout(
    feat=jax.nn.one_hot(_STATE, 3),
    action=jnp.asarray(_ACTION),
    reward_terms=terms,  # half a point a map
    cont=jnp.asarray(_CONT, jnp.float32),
    earned=jnp.zeros((2, 8)),
  )


def _judged(cfg, rollout, table):
  state = policy_state.init_state(cfg, jax.random.key(0), 3, table)
  return dream_rows.judge(cfg, state, rollout, None)


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_rows_of_the_chain(chain, algorithm):
  cfg = _config(algorithm)
  table = jax.random.normal(jax.random.key(1), (3, 8))
  rows, _, metrics = _judged(cfg, chain, table)
  rows = jax.tree.map(lambda leaf: leaf.reshape(3, 2, *leaf.shape[1:]), rows)
  np.testing.assert_array_equal(jnp.argmax(rows.feat, -1), _STATE[:3])
  np.testing.assert_array_equal(rows.action, _ACTION)
  log_probs = jax.nn.log_softmax(table)
  np.testing.assert_allclose(
    rows.log_prob, log_probs[_STATE[:3], _ACTION], rtol=1e-5
  )
  np.testing.assert_allclose(rows.returns, _RETURNS, rtol=1e-6)
  np.testing.assert_array_equal(rows.weight, _WEIGHT)
  np.testing.assert_allclose(
    rows.advantage * _WEIGHT, _ADVANTAGE[algorithm] * _WEIGHT, rtol=1e-5
  )
  # 4 in dream 0, and not the 9 behind the end; nothing in dream 1.
  np.testing.assert_allclose(metrics["imagined/reward"], 2.0)


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_gradient_of_the_chain(chain, algorithm):
  cfg = _config(algorithm)
  table = jnp.zeros((3, 8))
  rows, *_ = _judged(cfg, chain, table)
  found = jax.grad(actor_losses.loss, 1, has_aux=True)(cfg, table, rows, 0.0)[0]
  # The ratio is 1: each row pushes its own action in its own state by
  # A w / sum w; PMPO by half its share of its side.
  push = _ADVANTAGE[algorithm] * _WEIGHT / 5
  if algorithm == "pmpo":
    push = np.array([[0.25, -0.25], [0.25, -0.25], [0.0, 0.0]])
  expected = np.zeros((3, 8))
  for state, action, amount in zip(
    _STATE[:3].ravel(), _ACTION.ravel(), push.ravel(), strict=True
  ):
    expected[state] -= amount * (np.eye(8)[action] - 1 / 8)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  # What led to the success becomes likelier, the other way less likely, and
  # the action dreamt behind the success is left alone.
  assert found[0, 0] < 0 and found[1, 1] < 0
  assert found[0, 3] > 0 and found[1, 4] > 0
  np.testing.assert_array_equal(found[2], 0.0)


def test_the_end_of_a_dream_counts_where_it_is_bootstrapped(chain):
  for bootstrap, deviation in ((True, 0.75), (False, 1.0)):
    cfg = _config("grpo", group_bootstrap=bootstrap)
    _, _, metrics = _judged(cfg, chain, jnp.zeros((3, 8)))
    np.testing.assert_allclose(metrics["grpo/deviation"], deviation, rtol=1e-6)
    assert float(metrics["grpo/flat_groups"]) == 0.0


def test_percentiles_are_those_of_what_was_reached(chain):
  cfg = _config("ppo", normalise="percentile")
  rows, scale, metrics = _judged(cfg, chain, jnp.zeros((3, 8)))
  np.testing.assert_allclose(metrics["imagined/return_scale"], 3.25, rtol=1e-5)
  np.testing.assert_allclose(
    rows.advantage.reshape(3, 2), _RAW / 3.25, rtol=1e-5
  )
  assert float(scale.mass) == pytest.approx(0.01)
  assert _judged(_config("ppo"), chain, jnp.zeros((3, 8)))[1] is None


def test_dream_batch_carries_no_gradient():
  cfg = toys.config(normalise="percentile", horizon=4, starts=8)
  dream = toys.corridor(cfg)
  state = policy_state.init_state(cfg, jax.random.key(0), toys.CELLS)

  def judged(actor, critic, world):
    policy_fn = policy_update.make_policy_fn(cfg.actor_critic, actor)
    rollout = dream(world, jax.random.key(1), None, policy_fn)
    new = state.replace(actor=actor, critic=critic)
    rows, scale, _ = dream_rows.judge(cfg, new, rollout, actor)
    return sum(
      jnp.sum(leaf)
      for leaf in jax.tree.leaves(
        (rows.advantage, rows.returns, rows.log_prob, scale)
      )
    )

  grads = fakes.jit(jax.grad(judged, (0, 1, 2)))(state.actor, state.critic, 1.0)
  for leaf in jax.tree.leaves(grads):
    np.testing.assert_array_equal(leaf, 0.0)


def test_terminal_states_cut_returns_and_weights():
  cfg = toys.config(starts=2, horizon=3, lambda_=1.0)
  state = policy_state.init_state(cfg, jax.random.key(0), 2)
  paid = jnp.array([2.0, 4.0, 8.0])
  terms = jnp.zeros((3, 1, 8)).at[:, 0, toys.NEW_MAP].set(paid)
  rollout = toys.Rollout(
    feat=jnp.ones((4, 1, 2)),
    action=jnp.zeros((3, 1), jnp.int32),
    reward_terms=terms,
    cont=jnp.array([[1.0], [0.0], [1.0]]),
    earned=jnp.zeros((1, 8)),
  )
  rows, _, metrics = dream_rows.judge(cfg, state, rollout, None)
  # Half a point a map; state 2 is terminal: V_1 = 2, V_0 = 1 + 0.99 * 2.
  np.testing.assert_allclose(rows.returns, [2.98, 2.0, 4.0], rtol=1e-4)
  np.testing.assert_allclose(rows.weight, [1.0, 1.0, 0.0])
  np.testing.assert_allclose(metrics["imagined/reward"], 3.0, rtol=1e-5)
