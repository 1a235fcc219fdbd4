"""PPO: its losses by hand, what must not matter, and a toy world learned."""

import dataclasses
import functools

import chex
from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import ppo
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets
from pokedreamer_jax.networks import actor_critic

CELLS = 6
RIGHT = specs.ACTIONS.index("right")
NEW_MAP = specs.REWARD_TERMS.index("new_maps")


def _config(**policy):
  values = {
    "updates": 60,
    "critic_warmup": 0,
    "starts": 32,
    "horizon": 8,
    "epochs": 2,
    "minibatches": 2,
    "learning_rate": 3e-3,
    "critic_learning_rate": 3e-3,
    "kl_scale": 0.0,
    "kl_final": 0.0,
  }
  return dataclasses.replace(
    presets.make("debug"),
    policy=behaviour_config.PolicyConfig(**{**values, **policy}),
    actor_critic=behaviour_config.ActorCriticConfig(
      units=32, goal_dim=4, bins=21
    ),
  )


@struct.dataclass
class Rollout:
  feat: jax.Array
  action: jax.Array
  reward_terms: jax.Array
  cont: jax.Array
  earned: jax.Array


def _corridor(length, dreams):
  """A world of CELLS cells; only `right` at the far end pays, and ends it."""

  def dream_fn(world, key, starts, policy_fn):
    start_key, key = jax.random.split(key)
    cell = jax.random.randint(start_key, (dreams,), 0, CELLS)

    def step(cell, step_key):
      action = policy_fn(step_key, jax.nn.one_hot(cell, CELLS))
      won = (cell == CELLS - 1) & (action == RIGHT)
      moved = jnp.where(action == RIGHT, cell + 1, cell - 1)
      arrived = jnp.clip(moved, 0, CELLS - 1)
      return arrived, (arrived, action, won)

    _, (cells, action, won) = jax.lax.scan(
      step, cell, jax.random.split(key, length)
    )
    feat = jax.nn.one_hot(jnp.concatenate([cell[None], cells]), CELLS)
    terms = jnp.zeros((length, dreams, specs.NUM_REWARD_TERMS))
    terms = terms.at[..., NEW_MAP].set(world * won)
    earned = jnp.zeros((dreams, specs.NUM_REWARD_TERMS))
    return Rollout(feat, action, terms, 1.0 - won.astype(jnp.float32), earned)

  return dream_fn


def _rows(seed=0, count=16, dim=CELLS):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(count, specs.NUM_ACTIONS))
  logits = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
  return ppo.Rows(
    feat=jnp.asarray(rng.normal(size=(count, dim)), jnp.float32),
    action=jnp.asarray(rng.integers(0, 8, count), jnp.int32),
    log_prob=jnp.asarray(logits[:, 0], jnp.float32),
    clone_logits=jnp.asarray(logits, jnp.float32),
    advantage=jnp.asarray(rng.normal(size=count), jnp.float32),
    returns=jnp.asarray(rng.normal(size=count), jnp.float32),
    weight=jnp.ones(count),
  )


def _actor(cfg, seed=0, dim=CELLS):
  params = actor_critic.init_actor(cfg.actor_critic, jax.random.key(seed), dim)
  # Away from uniform, so that entropy and divergence have a gradient.
  params["Dense_0"]["kernel"] *= 1e3
  return params


@functools.partial(jax.jit, static_argnums=0)
def _logits(cfg, params, feat):
  return actor_critic.actor_logits(cfg.actor_critic, params, feat)


_actor_grads = jax.jit(
  jax.grad(ppo.actor_loss, 1, has_aux=True), static_argnums=0
)
_critic_grads = jax.jit(
  jax.grad(ppo.critic_loss, 1, has_aux=True), static_argnums=0
)


def _chosen(logits, action):
  return logits[jnp.arange(len(action)), action]


def test_ratio_one_is_the_plain_policy_gradient():
  cfg = _config(entropy_scale=0.0)
  params, rows = _actor(cfg), _rows()
  rows = rows.replace(
    log_prob=_chosen(_logits(cfg, params, rows.feat), rows.action)
  )
  grads = _actor_grads(cfg, params, rows, 0.0)[0]

  def plain(p):
    log_prob = _chosen(_logits(cfg, p, rows.feat), rows.action)
    return -jnp.mean(log_prob * rows.advantage)

  expected = jax.jit(jax.grad(plain))(params)
  chex.assert_trees_all_close(grads, expected, atol=1e-6)
  assert float(_norm(grads)) > 1e-3


@pytest.mark.parametrize(
  ("shift", "advantage", "moves"),
  [
    (-1.0, 1.0, False),  # ratio e > 1.2, already likelier: stop
    (-1.0, -1.0, True),  # ratio e, worse than thought: pull back
    (1.0, -1.0, False),  # ratio 1/e < 0.8, already less likely: stop
    (1.0, 1.0, True),
  ],
)
def test_clip_stops_only_the_outward_gradient(shift, advantage, moves):
  cfg = _config(entropy_scale=0.0)
  params, rows = _actor(cfg), _rows()
  now = _chosen(_logits(cfg, params, rows.feat), rows.action)
  rows = rows.replace(
    log_prob=now + shift, advantage=jnp.full(len(now), advantage)
  )
  grads, metrics = _actor_grads(cfg, params, rows, 0.0)
  assert (float(_norm(grads)) > 1e-4) == moves
  assert float(metrics["policy/clip_fraction"]) == 1.0


def test_actor_loss_by_hand():
  # One row, uniform actor, so log pi = -ln 8 for every action.
  cfg = _config(entropy_scale=0.5, clip=0.2)
  params = jax.tree.map(
    jnp.zeros_like,
    actor_critic.init_actor(cfg.actor_critic, jax.random.key(0), 2),
  )
  clone = np.full(8, 0.5 / 7)
  clone[0] = 0.5
  rows = ppo.Rows(
    feat=jnp.ones((1, 2)),
    action=jnp.array([3]),
    log_prob=jnp.log(jnp.array([0.1])),  # ratio 0.125 / 0.1 = 1.25 -> 1.2
    clone_logits=jnp.log(jnp.asarray(clone, jnp.float32))[None],
    advantage=jnp.array([2.0]),
    returns=jnp.zeros(1),
    weight=jnp.ones(1),
  )
  kl = np.mean(np.log(0.125 / clone))
  expected = -1.2 * 2.0 - 0.5 * np.log(8) + 0.1 * kl
  loss, metrics = ppo.actor_loss(cfg, params, rows, 0.1)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  np.testing.assert_allclose(metrics["policy/entropy"], np.log(8), rtol=1e-5)
  np.testing.assert_allclose(metrics["policy/kl_to_clone"], kl, rtol=1e-5)


def test_rows_never_reached_do_not_matter():
  cfg = _config()
  params, rows = _actor(cfg), _rows()
  critic = actor_critic.init_critic(cfg.actor_critic, jax.random.key(1), CELLS)
  rows = rows.replace(weight=rows.weight.at[:4].set(0.0))
  other = _rows(seed=9)
  mixed = jax.tree.map(lambda a, b: a.at[:4].set(b[:4]), rows, other)
  mixed = mixed.replace(weight=rows.weight)
  for step, tree, rest in (
    (_actor_grads, params, (0.1,)),
    (_critic_grads, critic, ()),
  ):
    chex.assert_trees_all_close(
      step(cfg, tree, rows, *rest), step(cfg, tree, mixed, *rest), atol=1e-6
    )


def test_extreme_rows_give_finite_gradients():
  cfg = _config()
  params, rows = _actor(cfg), _rows()
  params["Dense_0"]["bias"] = jnp.array([1e3] + [-1e3] * 7)
  rows = rows.replace(
    log_prob=jnp.full(16, np.log(1e-3 / 8)).astype(jnp.float32),
    advantage=1e4 * rows.advantage,
    returns=1e6 * rows.returns,
  )
  grads = _actor_grads(cfg, params, rows, 1.0)
  chex.assert_tree_all_finite(grads)
  critic = actor_critic.init_critic(cfg.actor_critic, jax.random.key(1), CELLS)
  grads = _critic_grads(cfg, critic, rows)
  chex.assert_tree_all_finite(grads)
  # Bounded by construction, however large the return.
  assert float(_norm(grads[0])) < 10.0


def test_dream_batch_carries_no_gradient():
  cfg = _config()
  dream = _corridor(4, 8)
  state = ppo.init_state(cfg, jax.random.key(0), CELLS)

  def judged(actor, critic, world):
    policy_fn = ppo.make_policy_fn(cfg.actor_critic, actor)
    rollout = dream(world, jax.random.key(1), None, policy_fn)
    new = state.replace(actor=actor, critic=critic)
    rows, _ = ppo.make_rows(cfg, new, rollout, actor)
    return sum(
      jnp.sum(leaf) for leaf in (rows.advantage, rows.returns, rows.log_prob)
    )

  grads = jax.jit(jax.grad(judged, (0, 1, 2)))(state.actor, state.critic, 1.0)
  for leaf in jax.tree.leaves(grads):
    np.testing.assert_array_equal(leaf, 0.0)


def test_warm_up_trains_the_critic_alone():
  cfg = _config(critic_warmup=2)
  update = jax.jit(ppo.make_update(cfg, _corridor(8, 32)))
  state = ppo.init_state(cfg, jax.random.key(0), CELLS)
  states = [state]
  for _ in range(3):
    state, _ = update(state, jax.random.key(1), 1.0, None, None)
    states.append(state)
  chex.assert_trees_all_equal(states[0].actor, states[2].actor)
  chex.assert_trees_all_equal(states[0].actor_opt, states[2].actor_opt)
  assert _distance(states[0].critic, states[1].critic) > 0
  assert _distance(states[2].actor, states[3].actor) > 0


def test_divergence_holds_the_policy_and_is_annealed():
  free = _config(updates=12)
  held = _config(updates=12, kl_scale=20.0, kl_final=10.0)
  distances, scales = [], []
  for cfg in (free, held):
    update = jax.jit(ppo.make_update(cfg, _corridor(8, 32)))
    start = actor_critic.init_actor(cfg.actor_critic, jax.random.key(3), CELLS)
    state = ppo.init_state(cfg, jax.random.key(0), CELLS, start)
    for _ in range(12):
      state, metrics = update(state, jax.random.key(1), 1.0, None, start)
      scales.append(float(metrics["policy/kl_scale"]))
    distances.append(float(metrics["policy/kl_to_clone"]))
  assert distances[1] < 0.2 * distances[0]
  np.testing.assert_allclose(scales[:12], 0.0)
  np.testing.assert_allclose(scales[12::11], [20.0, 20 - 10 * 11 / 12])


def test_learns_the_corridor_without_retracing():
  cfg = _config(critic_warmup=5)
  chex.clear_trace_counter()
  update = chex.assert_max_traces(ppo.make_update(cfg, _corridor(8, 32)), n=1)
  update = jax.jit(update, donate_argnums=0)
  state = ppo.init_state(cfg, jax.random.key(0), CELLS)
  rewards = []
  for _ in range(60):
    state, metrics = update(state, jax.random.key(1), 1.0, None, None)
    rewards.append(float(metrics["imagined/new_maps"]))
  # Always right wins from every cell within 8 steps: 1 is the best there is.
  assert np.mean(rewards[:5]) < 0.2
  assert np.mean(rewards[-5:]) > 0.95
  assert float(metrics["critic/explained_variance"]) > 0.5
  logits = _logits(cfg, state.actor, jnp.eye(CELLS))
  np.testing.assert_array_equal(jnp.argmax(logits, -1), RIGHT)


def test_the_same_key_and_state_repeat():
  cfg = _config()
  update = jax.jit(ppo.make_update(cfg, _corridor(8, 32)))
  first = ppo.init_state(cfg, jax.random.key(0), CELLS)
  a = update(first, jax.random.key(1), 1.0, None, None)
  b = update(first, jax.random.key(1), 1.0, None, None)
  other = update(a[0], jax.random.key(1), 1.0, None, None)
  chex.assert_trees_all_equal(a, b)
  assert float(a[1]["imagined/return"]) != float(other[1]["imagined/return"])


def test_terminal_states_cut_returns_and_weights():
  cfg = _config(horizon=3, lambda_=1.0)
  state = ppo.init_state(cfg, jax.random.key(0), 2)
  terms = jnp.zeros((3, 1, 8)).at[:, 0, NEW_MAP].set(jnp.array([2.0, 4.0, 8]))
  rollout = Rollout(
    feat=jnp.ones((4, 1, 2)),
    action=jnp.zeros((3, 1), jnp.int32),
    reward_terms=terms,
    cont=jnp.array([[1.0], [0.0], [1.0]]),
    earned=jnp.zeros((1, 8)),
  )
  rows, metrics = ppo.make_rows(cfg, state, rollout, None)
  # Half a point a map; state 2 is terminal: V_1 = 2, V_0 = 1 + 0.99 * 2.
  np.testing.assert_allclose(rows.returns, [2.98, 2.0, 4.0], rtol=1e-4)
  np.testing.assert_allclose(rows.weight, [1.0, 1.0, 0.0])
  np.testing.assert_allclose(metrics["imagined/reward"], 3.0, rtol=1e-5)


def _norm(tree):
  return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def _distance(a, b):
  return float(_norm(jax.tree.map(jnp.subtract, a, b)))
