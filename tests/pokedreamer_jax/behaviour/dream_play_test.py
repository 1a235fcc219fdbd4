"""A step of playing: what is asked is done, alone as beside others."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

N = 3


@pytest.fixture(scope="module")
def parts():
  cfg = fakes.config()
  size = policy_inputs.size(cfg)
  actor = actor_critic.init_actor(cfg.actor_critic, jax.random.key(1), size)
  critic = actor_critic.init_critic(cfg.actor_critic, jax.random.key(2), size)
  params = dream_play.Params(fakes.params(cfg.world_model, 0.3), actor, critic)
  step = fakes.jit(functools.partial(dream_play.advance, cfg))
  return cfg, params, step


def _asked(cfg, **values):
  """What `N` players ask; rows and chance of their own."""
  rows = fakes.steps(N, 4)
  asked = dataclasses.replace(
    dream_play.asks_nothing(cfg.world_model, N),
    action=jnp.array([0, 3, 4]),
    luck=jnp.array([7, 8, 9], jnp.uint32),
    step=jnp.array([1, 2, 3], jnp.uint32),
    frame=jnp.asarray(rows["frame"]),
    ram={
      name: jnp.asarray(value)
      for name, value in dream_play.ram_of(cfg.world_model, rows).items()
    },
  )
  flags = {k: jnp.full(N, v) for k, v in ({"shows": True} | values).items()}
  return dataclasses.replace(asked, **flags)


@pytest.fixture(scope="module")
def begun(parts):
  """`N` players in the midst of it."""
  cfg, params, step = parts
  player = dream_play.nobody(cfg.world_model, N)
  first = _asked(cfg, sees=True, follows=True, is_first=True)
  player, _ = step(params, player, first)
  return step(params, player, _asked(cfg, dreams=True))[0]


def _keys(asked, i):
  key = jax.random.fold_in(jax.random.key(asked.luck[i]), asked.step[i])
  return jax.random.split(key, 3)


def _one(tree, i):
  return jax.tree.map(lambda leaf: leaf[i : i + 1], tree)


@pytest.mark.parametrize("likely", [False, True])
def test_a_dreamt_step_is_that_of_imagination(parts, begun, likely):
  cfg, params, step = parts
  asked = _asked(cfg, dreams=True, likely=likely)
  player, shown = step(params, begun, asked)
  expected = fakes.jit(
    functools.partial(
      imagination.prior_step, cfg.world_model, most_likely=likely
    )
  )
  decode = fakes.jit(functools.partial(world_model.decode, cfg.world_model))
  for i in range(N):
    ahead = expected(
      params.world,
      _keys(asked, i)[0],
      _one(begun.dream, i),
      asked.action[i, None],
    )
    chex.assert_trees_all_close(_one(player.dream, i), ahead, atol=1e-5)
    frame = decode(params.world, ahead)
    np.testing.assert_array_equal(shown.frame[i], frame[0])
  chex.assert_trees_all_equal(player.seen, begun.seen)


def test_seeing_a_row_is_acting_on_it_and_leaves_the_dream(parts, begun):
  cfg, params, step = parts
  asked = _asked(cfg, sees=True)
  player, shown = step(params, begun, asked)
  act = fakes.jit(functools.partial(world_model.act_step, cfg.world_model))
  for i in range(N):
    ram = {name: value[i : i + 1] for name, value in asked.ram.items()}
    seen = act(
      *(params.world, _keys(asked, i)[1], _one(begun.seen, i)),
      *(asked.frame[i : i + 1], ram, asked.action[i : i + 1]),
      jnp.zeros(1, bool),
    )
    chex.assert_trees_all_close(_one(player.seen, i), seen, atol=1e-5)
  chex.assert_trees_all_equal(player.dream, begun.dream)
  assert np.all(np.asarray(shown.surprise) > 0)
  assert np.all(np.asarray(shown.token_surprise) > 0)


def test_the_dream_follows_what_was_seen(parts, begun):
  cfg, params, step = parts
  player, _ = step(params, begun, _asked(cfg, follows=True))
  chex.assert_trees_all_equal(player.dream, begun.seen)
  chex.assert_trees_all_equal(player.progress, begun.real)
  both, _ = step(params, begun, _asked(cfg, follows=True, sees=True))
  chex.assert_trees_all_equal(both.dream, both.seen)
  assert np.any(np.asarray(both.dream.deter) != np.asarray(begun.seen.deter))


def test_who_asks_for_nothing_stays(parts, begun):
  cfg, params, step = parts
  player, shown = step(params, begun, _asked(cfg))
  chex.assert_trees_all_equal(player, begun)
  assert not np.any(np.asarray(shown.terms)) and not np.any(
    np.asarray(shown.reward)
  )
  np.testing.assert_allclose(shown.odds.sum(axis=-1), 1.0, atol=1e-5)


def test_a_player_alone_is_a_player_beside_others(parts, begun):
  cfg, params, step = parts
  asked = _asked(cfg, dreams=True, sees=True)
  together = step(params, begun, asked)
  # In other places, and beside who asks for nothing.
  turned = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), (begun, asked))
  again = step(params, *turned)
  again = jax.tree.map(lambda leaf: jnp.roll(leaf, -1, axis=0), again)
  chex.assert_trees_all_equal(together, again)
  idle = (
    dream_play.nobody(cfg.world_model, N),
    dream_play.asks_nothing(cfg.world_model, N),
  )
  alone = jax.tree.map(
    lambda leaf, rest: jnp.concatenate([leaf[1:2], rest[1:]]),
    (begun, asked),
    idle,
  )
  chex.assert_trees_all_equal(_one(step(params, *alone), 0), _one(together, 1))


def test_what_is_new_pays_once(parts):
  cfg, _, _ = parts
  # Nothing is known of badges and species, so that they come and go by luck.
  params = dream_play.Params(fakes.obedient_params(cfg.world_model))
  step = fakes.jit(functools.partial(dream_play.advance, cfg))
  first = _asked(cfg, sees=True, follows=True, is_first=True)
  player, _ = step(params, dream_play.nobody(cfg.world_model, N), first)
  names = list(cfg.world_model.token_sizes)
  paid = 0.0
  for number in range(8):
    asked = dataclasses.replace(
      _asked(cfg, dreams=True), step=jnp.full(N, number, jnp.uint32)
    )
    before = np.asarray(player.progress.best)
    player, shown = step(params, player, asked)
    tokens = np.asarray(shown.tokens)
    for i, (term, token) in enumerate(
      (("badges", "badges"), ("species", "dex_owned"))
    ):
      gained = np.maximum(tokens[:, names.index(token)] - before[:, i], 0)
      terms = np.asarray(shown.terms)[:, specs.REWARD_TERMS.index(term)]
      np.testing.assert_allclose(terms, gained, atol=1e-5)
      paid += terms.sum()
    maps = np.asarray(shown.terms)[:, specs.REWARD_TERMS.index("new_maps")]
    np.testing.assert_array_equal(maps, 0)  # the map stays, and is no news
  assert paid > 0
  np.testing.assert_allclose(
    np.asarray(player.earned)[:, :2].sum(), paid, atol=1e-4
  )


def test_one_program_serves_all(parts, begun):
  cfg, params, _ = parts

  @chex.assert_max_traces(n=1)
  def advance(params, player, asked):
    return dream_play.advance(cfg, params, player, asked)

  step = fakes.jit(advance)
  for flags in ({"dreams": True}, {"sees": True}, {"follows": True}, {}):
    step(params, begun, _asked(cfg, **flags))


def test_what_cannot_be_played_is_refused():
  with pytest.raises(ValueError, match="one scalar reward"):
    dream_play.check(fakes.config_v2())
  with pytest.raises(ValueError, match="action_alignment"):
    dream_play.check(fakes.config("world_model.action_alignment=published"))
  dream_play.check(fakes.config())


def test_a_dream_that_nobody_reads_is_not_read(parts, begun):
  cfg, params, step = parts
  told, read = step(params, begun, _asked(cfg, dreams=True, sees=True))
  kept, shown = step(
    params, begun, _asked(cfg, dreams=True, sees=True, shows=False)
  )
  chex.assert_trees_all_equal(kept, told)
  for name in ("frame", "tokens", "odds", "cont"):
    assert not np.any(np.asarray(getattr(shown, name))), name
    assert np.any(np.asarray(getattr(read, name))), name
  for name in ("terms", "reward", "surprise", "token_surprise"):
    np.testing.assert_array_equal(getattr(shown, name), getattr(read, name))
