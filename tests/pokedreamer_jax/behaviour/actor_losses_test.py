"""Losses of the actor: by hand, by loops, against rlax, and what must not
matter."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import actor_losses
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.behaviour import toys

CELLS = toys.CELLS


def _rows(seed=0, count=16, dim=CELLS):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(count, specs.NUM_ACTIONS))
  logits = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
  return dream_rows.Rows(
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


@functools.partial(fakes.jit, static_argnums=0)
def _logits(cfg, params, feat):
  return actor_critic.actor_logits(cfg.actor_critic, params, feat)


_actor_grads = fakes.jit(
  jax.grad(actor_losses.loss, 1, has_aux=True), static_argnums=0
)
_actor_loss = fakes.jit(actor_losses.loss, static_argnums=0)
_critic_grads = fakes.jit(
  jax.grad(critics.loss, 1, has_aux=True), static_argnums=0
)


def _chosen(logits, action):
  return logits[jnp.arange(len(action)), action]


def test_ratio_one_is_the_plain_policy_gradient():
  params, rows = _actor(toys.config()), _rows()
  cfg = toys.config(entropy_scale=0.0)
  rows = rows.replace(
    log_prob=_chosen(_logits(cfg, params, rows.feat), rows.action)
  )
  grads = _actor_grads(cfg, params, rows, 0.0)[0]

  def plain(p):
    logits = actor_critic.actor_logits(cfg.actor_critic, p, rows.feat)
    log_prob = _chosen(logits, rows.action)
    return -jnp.mean(log_prob * rows.advantage)

  expected = fakes.jit(jax.grad(plain))(params)
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
  cfg = toys.config(entropy_scale=0.0)
  params, rows = _actor(cfg), _rows()
  now = _chosen(_logits(cfg, params, rows.feat), rows.action)
  rows = rows.replace(
    log_prob=now + shift, advantage=jnp.full(len(now), advantage)
  )
  grads, metrics = _actor_grads(cfg, params, rows, 0.0)
  assert (float(_norm(grads)) > 1e-4) == moves
  assert float(metrics["policy/clip_fraction"]) == 1.0


def test_a_wider_clip_above_lets_good_actions_rise_further():
  ratio = jnp.array([1.25, 1.25, 1.35, 0.75])
  advantage = jnp.array([1.0, -1.0, 1.0, -1.0])
  # Below 1 nothing changes, and what is worse than thought is never cut.
  np.testing.assert_allclose(
    actor_losses.clipped_surrogate(ratio, advantage, 0.2, 0.28),
    [-1.25, 1.25, -1.28, 0.8],
  )
  np.testing.assert_allclose(
    actor_losses.clipped_surrogate(ratio, advantage, 0.2, 0.2),
    [-1.2, 1.25, -1.2, 0.8],
  )


def test_actor_loss_by_hand():
  # One row, uniform actor, so log pi = -ln 8 for every action.
  cfg = toys.config(entropy_scale=0.5, clip=0.2)
  params = jax.tree.map(
    jnp.zeros_like,
    actor_critic.init_actor(cfg.actor_critic, jax.random.key(0), 2),
  )
  clone = np.full(8, 0.5 / 7)
  clone[0] = 0.5
  rows = dream_rows.Rows(
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
  loss, metrics = actor_losses.loss(cfg, params, rows, 0.1)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  np.testing.assert_allclose(metrics["policy/entropy"], np.log(8), rtol=1e-5)
  np.testing.assert_allclose(metrics["policy/kl_to_clone"], kl, rtol=1e-5)


def _slow_loss(policy, logits, rows, kl_scale, kl_scales=None):
  """The sum over rows, written out, in float64; `kl_scales` one of each."""
  logits, clone = np.float64(logits), np.float64(rows.clone_logits)
  weight = np.float64(rows.weight)
  log_prob = [logits[i, a] for i, a in enumerate(rows.action)]
  good = sum(w for w, a in zip(weight, rows.advantage, strict=True) if a > 0)
  bad = sum(w for w, a in zip(weight, rows.advantage, strict=True) if a < 0)
  total = 0.0
  for i, advantage in enumerate(np.float64(rows.advantage)):
    share = weight[i] / weight.sum()
    entropy = -sum(np.exp(x) * x for x in logits[i])
    pairs = list(zip(logits[i], clone[i], strict=True))
    kl = sum(np.exp(new) * (new - old) for new, old in pairs)
    if policy.algorithm == "pmpo":
      kl = sum(np.exp(old) * (old - new) for new, old in pairs)
      if advantage > 0:
        total -= policy.pmpo_alpha * weight[i] / good * log_prob[i]
      elif advantage < 0:
        total += (1 - policy.pmpo_alpha) * weight[i] / bad * log_prob[i]
    elif policy.algorithm == "reinforce":
      total -= share * advantage * log_prob[i]
    else:
      ratio = np.exp(log_prob[i] - float(rows.log_prob[i]))
      high = 1 + (policy.clip_high or policy.clip)
      kept = min(max(ratio, 1 - policy.clip), high)
      total -= share * min(ratio * advantage, kept * advantage)
    held = kl_scale if kl_scales is None else kl_scales[i]
    total += share * (held * kl - policy.entropy_scale * entropy)
  return total


@pytest.mark.parametrize(
  "policy",
  [
    {"clip_high": 0.3},
    {"algorithm": "grpo", "clip_high": 0.28},
    {"algorithm": "reinforce"},
    {"algorithm": "pmpo", "pmpo_alpha": 0.7},
  ],
  ids=str,
)
def test_slow_loops(policy):
  cfg = toys.config(entropy_scale=0.05, **policy)
  params, rows = _actor(cfg), _rows(3)
  weight = np.random.default_rng(1).uniform(size=16).astype(np.float32)
  rows = rows.replace(
    weight=jnp.asarray(weight).at[:3].set(0.0),
    advantage=rows.advantage.at[5].set(0.0),
  )
  logits = _logits(cfg, params, rows.feat)
  np.testing.assert_allclose(
    _actor_loss(cfg, params, rows, 0.2)[0],
    _slow_loss(cfg.policy, logits, rows, 0.2),
    rtol=1e-4,
  )


@pytest.mark.filterwarnings("ignore:Rlax:PendingDeprecationWarning")
def test_rlax_agrees():
  rlax = pytest.importorskip("rlax")
  cfg = toys.config(entropy_scale=0.0)
  params, rows = _actor(cfg), _rows(5)
  logits = _logits(cfg, params, rows.feat)
  log_prob = _chosen(logits, rows.action)
  ratio = jnp.exp(log_prob - rows.log_prob)
  np.testing.assert_allclose(
    jnp.mean(actor_losses.clipped_surrogate(ratio, rows.advantage, 0.2, 0.2)),
    rlax.clipped_surrogate_pg_loss(ratio, rows.advantage, 0.2),
    rtol=1e-5,
  )
  np.testing.assert_allclose(
    jnp.mean(actor_losses.weighted_likelihood(log_prob, rows.advantage)),
    rlax.policy_gradient_loss(logits, rows.action, rows.advantage, rows.weight),
    rtol=1e-5,
  )
  clone = rows.clone_logits
  for algorithm, name, pair in (
    ("ppo", "policy/kl_to_clone", (logits, clone)),
    ("pmpo", "policy/kl_from_clone", (clone, logits)),
  ):
    cfg = toys.config(entropy_scale=0.0, algorithm=algorithm)
    metrics = _actor_loss(cfg, params, rows, 0.0)[1]
    expected = jnp.mean(rlax.categorical_kl_divergence(*pair))
    np.testing.assert_allclose(metrics[name], expected, rtol=1e-5)
  entropy = -rlax.entropy_loss(logits, rows.weight)
  np.testing.assert_allclose(metrics["policy/entropy"], entropy, rtol=1e-5)


def test_signs_alone_count_and_a_side_may_be_empty():
  rows = _rows(2)
  log_prob, weight = rows.log_prob, rows.weight
  found = [
    actor_losses.signed_likelihood(log_prob, advantage, weight, 0.5)
    for advantage in (rows.advantage, 100.0 * rows.advantage**3)
  ]
  np.testing.assert_array_equal(*found)
  for advantage, factor in ((1.0, -0.5), (-1.0, 0.5), (0.0, 0.0)):
    out = actor_losses.signed_likelihood(
      log_prob, jnp.full(16, advantage), weight, 0.5
    )
    np.testing.assert_allclose(out, factor * log_prob, rtol=1e-5)


def test_divergences_pull_back_an_action_that_is_hardly_taken():
  # Uniform clone, log pi(0) = -20. The published direction of PMPO pulls its
  # logit with the weight clone - pi = 1/8; the other one hardly pulls at all.
  clone = jnp.full(8, -jnp.log(8.0))
  logits = jnp.zeros(8).at[0].set(-20.0)

  def pull(algorithm):
    cfg = toys.config(algorithm=algorithm, entropy_scale=0.0, minibatches=1)
    rows = _rows(count=1).replace(
      clone_logits=clone[None], advantage=jnp.zeros(1)
    )

    def loss(x):
      new = jax.nn.log_softmax(x)
      with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actor_critic, "actor_logits", lambda *_: new[None])
        return actor_losses.loss(cfg, None, rows, 1.0)[0]

    return -float(jax.grad(loss)(logits)[0])

  np.testing.assert_allclose(pull("pmpo"), 1 / 8, rtol=1e-4)
  assert 0.0 <= pull("reinforce") < 1e-6


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_rows_never_reached_do_not_matter(algorithm):
  cfg = toys.config(algorithm=algorithm)
  params, rows = _actor(cfg), _rows()
  rows = rows.replace(weight=rows.weight.at[:4].set(0.0))
  other = _rows(seed=9)
  mixed = jax.tree.map(lambda a, b: a.at[:4].set(b[:4]), rows, other)
  mixed = mixed.replace(weight=rows.weight)
  chex.assert_trees_all_close(
    _actor_grads(cfg, params, rows, 0.1),
    _actor_grads(cfg, params, mixed, 0.1),
    atol=1e-6,
  )
  if algorithm == "ppo":
    key = jax.random.key(1)
    critic = actor_critic.init_critic(cfg.actor_critic, key, CELLS)
    chex.assert_trees_all_close(
      _critic_grads(cfg, critic, rows),
      _critic_grads(cfg, critic, mixed),
      atol=1e-6,
    )


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_extreme_rows_give_finite_gradients(algorithm):
  cfg = toys.config(algorithm=algorithm)
  params, rows = _actor(cfg), _rows()
  params["Dense_0"]["bias"] = jnp.array([1e3] + [-1e3] * 7)
  rows = rows.replace(
    log_prob=jnp.full(16, np.log(1e-3 / 8)).astype(jnp.float32),
    advantage=1e4 * rows.advantage,
    returns=1e6 * rows.returns,
  )
  chex.assert_tree_all_finite(_actor_grads(cfg, params, rows, 1.0))
  if algorithm == "ppo":
    key = jax.random.key(1)
    critic = actor_critic.init_critic(cfg.actor_critic, key, CELLS)
    grads = _critic_grads(cfg, critic, rows)
    chex.assert_tree_all_finite(grads)
    # Bounded by construction, however large the return.
    assert float(_norm(grads[0])) < 10.0


@pytest.mark.parametrize("algorithm", behaviour_config.ALGORITHMS)
def test_battles_are_held_nearer_to_the_clone(algorithm):
  cfg = toys.config(entropy_scale=0.05, kl_battle=2.0, algorithm=algorithm)
  model = cfg.world_model
  place = tokens.slices(model.token_sizes)["battle"]
  rng = np.random.default_rng(0)
  kinds = rng.integers(0, model.token_sizes["battle"], 16)
  rows = _rows(3, dim=model.feat_dim + 5)
  first = model.deter + model.stoch_dim + place.start
  feat = np.array(rows.feat)
  feat[:, first : first + model.token_sizes["battle"]] = np.eye(4)[kinds]
  rows = rows.replace(feat=jnp.asarray(feat))
  params = _actor(cfg, dim=feat.shape[1])
  logits = _logits(cfg, params, rows.feat)
  for scale in (0.5, 3.0):  # where it is more, it holds everywhere
    each = [max(scale, 2.0) if kind else scale for kind in kinds]
    loss = actor_losses.loss(cfg, params, rows, scale)[0]
    expected = _slow_loss(cfg.policy, logits, rows, scale, each)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
  # Without a clone there is nothing to be near.
  loss = actor_losses.loss(cfg, params, rows, None)[0]
  expected = _slow_loss(cfg.policy, logits, rows, 0.0)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  assert 0 < (kinds > 0).sum() < 16


def _norm(tree):
  return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
