"""Dreams against games: what dreams are worth, and the numbers made of both."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.evaluation import honesty
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_N, _SAMPLES, _LENGTH = 2, 3, 4


def test_dreams_are_summed_as_slow_loops_sum_them():
  cfg = fakes.config("policy.reward=progress", "world_model.tokens=" + (
    fakes.TOKENS + " level:8"
  ))  # fmt: skip
  world = fakes.params(cfg.world_model, 0.3)
  actor = actor_critic.init_actor(
    cfg.actor_critic, jax.random.key(1), policy_inputs.size(cfg)
  )
  state = acting.init_state(cfg.world_model, _N)
  earned = jnp.zeros((_N, specs.NUM_REWARD_TERMS))
  key = jax.random.key(2)
  dream = honesty.make_dream_fn(cfg, _LENGTH, _SAMPLES, greedy=True)
  paid, happens = dream(world, actor, key, state, earned)

  def policy_fn(_, inputs):
    return jnp.argmax(
      actor_critic.actor_logits(cfg.actor_critic, actor, inputs), -1
    )

  many = jax.tree.map(lambda leaf: jnp.repeat(leaf, _SAMPLES, 0), state)
  rollout = imagination.imagine(
    cfg.world_model,
    world,
    key,
    many.model,
    many.progress,
    policy_fn,
    _LENGTH,
    earned=jnp.repeat(earned, _SAMPLES, 0),
    inputs_fn=lambda *read: policy_inputs.read(cfg, *read),
  )
  reward = np.asarray(objectives.rewards(cfg, rollout))
  terms, cont = np.asarray(rollout.reward_terms), np.asarray(rollout.cont)
  highest = np.asarray(rollout.level)
  assert (cont < 0.99).any()  # else nothing is said of ends
  for n in range(_N):
    sums, chances = [], []
    for i in range(n * _SAMPLES, (n + 1) * _SAMPLES):
      going, total, none = 1.0, 0.0, np.ones(len(honesty.KINDS))
      for step in range(_LENGTH):
        total += going * reward[step, i]
        rise = highest[step + 1, i] - highest[step, i]
        rise *= highest[step, i] > 0
        gains = [
          terms[step, i, specs.REWARD_TERMS.index(kind)]
          for kind in honesty.KINDS[:-1]
        ]
        none *= 1 - going * np.clip([*gains, rise], 0, 1)
        going *= cont[step, i]
      sums.append(total)
      chances.append(1 - none)
    np.testing.assert_allclose(paid[n], np.mean(sums), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
      happens[n], np.mean(chances, axis=0), rtol=1e-3, atol=1e-4
    )


def test_the_share_of_dreams_that_reach_a_goal_as_a_slow_loop_counts_it():
  cfg = fakes.config("actor_critic.goal_dim=64", "actor_critic.reads_goal=true")
  world = fakes.params(cfg.world_model, 0.3)
  actor = actor_critic.init_actor(
    cfg.actor_critic, jax.random.key(1), policy_inputs.size(cfg)
  )
  asked = [goal_specs.Goal("map", map_id=n) for n in (2, 5)]
  state = acting.init_state(cfg.world_model, _N)
  vectors = jnp.asarray(goal_embeddings.embed_goals(asked))
  state = dataclasses.replace(state, goal=vectors)
  earned = jnp.zeros((_N, specs.NUM_REWARD_TERMS))
  key = jax.random.key(2)
  dream = honesty.make_goal_dream_fn(cfg, _LENGTH, _SAMPLES, greedy=True)
  found = dream(
    world, actor, key, state, earned, jnp.asarray(goal_specs.stack(asked))
  )

  many = jax.tree.map(lambda leaf: jnp.repeat(leaf, _SAMPLES, 0), state)
  rollout = imagination.imagine(
    cfg.world_model,
    world,
    key,
    many.model,
    many.progress,
    lambda _, inputs: jnp.argmax(
      actor_critic.actor_logits(cfg.actor_critic, actor, inputs), -1
    ),
    _LENGTH,
    earned=jnp.repeat(earned, _SAMPLES, 0),
    inputs_fn=lambda *read: policy_inputs.read(cfg, *read, goal=many.goal),
  )
  cfg_model = cfg.world_model
  hot = rollout.feat[..., cfg_model.feat_dim - cfg_model.token_dim :]
  sizes = cfg.world_model.token_sizes
  place = np.asarray(hot[..., tokens.slices(sizes)["map"]]).argmax(-1)
  cont = np.asarray(rollout.cont)
  for n, wanted in enumerate((2, 5)):
    shares = []
    for i in range(n * _SAMPLES, (n + 1) * _SAMPLES):
      going, none = 1.0, 1.0
      for step in range(_LENGTH):
        none *= 1 - going * (place[step + 1, i] == wanted)
        going *= cont[step, i]
      shares.append(1 - none)
    np.testing.assert_allclose(found[n], np.mean(shares), atol=1e-4)
  assert found.min() < found.max() and found.max() > 0.1


def test_dreams_that_know_the_mean_correlate_as_luck_allows():
  rng = np.random.default_rng(0)
  mean = rng.normal(size=(60, 1)) * 2
  real = mean + rng.normal(size=(60, 4))
  groups = np.repeat(np.arange(20), 3)
  found = honesty.agreement(np.repeat(mean, 4, 1), real, groups, 300)
  assert found["correlation"]["value"] > found["other_luck"] > 0.7
  assert found["correlation"]["low"] < found["correlation"]["value"]
  blind = honesty.agreement(rng.normal(size=(60, 4)), real, groups, 300)
  assert blind["correlation"]["low"] < 0 < blind["correlation"]["high"]
  flat = honesty.agreement(np.ones((60, 4)), real, groups, 300)
  assert flat["correlation"] is None and flat["dreamt"] == 1.0


def test_precision_and_recall_by_hand():
  real = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], bool)
  dreamt = np.array([[1.0, 1.0], [0.5, 0.5], [0.5, 0.0], [0.0, 0.0]])
  found = honesty.event_agreement(dreamt, real)
  # d = 1, .5, .25, 0; r = 1, .5, 0, 0; d r = 1, .25.
  assert found["precision"] == pytest.approx(1.25 / 1.75)
  assert found["recall"] == pytest.approx(1.25 / 1.5)
  # Of three plays in which it happened, two have a twin in which it did too.
  assert found["other_luck"] == pytest.approx(2 / 3)
  nothing = honesty.event_agreement(np.zeros((3, 2)), np.zeros((3, 2), bool))
  assert nothing["precision"] is None and nothing["other_luck"] is None


def test_what_is_realised_of_a_gain():
  dreamt = np.array([1.0, 2.0, 3.0, 2.0])
  groups = np.array([0, 0, 1, 1])
  found = honesty.realised(dreamt, dreamt / 4, groups, 200)
  assert found["ratio"]["value"] == pytest.approx(0.25)
  assert found["ratio"]["low"] == pytest.approx(0.25)
  assert found["real"]["mean"] == pytest.approx(0.5)
  assert honesty.realised(-dreamt, dreamt, groups, 200)["ratio"] is None
