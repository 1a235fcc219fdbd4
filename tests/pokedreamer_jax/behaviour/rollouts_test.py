"""Dreams under given buttons against a slow loop, and who may ask for what."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import dream_env
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.behaviour import following
from pokedreamer_jax.behaviour import rollouts
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_B, _K, _H = 2, 3, 4
_WEIGHTS = np.array(specs.REWARD_WEIGHTS["progress"], np.float32)
_TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}


@functools.cache
def _made():
  cfg = fakes.config(
    "policy.reward=progress",
    "world_model.tokens=map:8 y:12 x:12 badges:4 dex_owned:5 level:9",
  )
  world = fakes.params(cfg.world_model, 0.3)
  rows = fakes.steps(_B, 0)
  rows["game_running"][:] = True
  rows["party_level"][:, 0] = 3
  start = fakes.jit(functools.partial(dream_env.begin, cfg))(
    world,
    jax.random.key(0),
    jnp.asarray(rows["frame"]),
    dream_play.ram_of(cfg.world_model, rows),
  )
  return cfg, world, start


def _plans(*shape, seed=0):
  return np.random.default_rng(seed).integers(specs.NUM_ACTIONS, size=shape)


@functools.cache
def _dreamt(likely=False, plans="different"):
  cfg, world, start = _made()
  action = _plans(_B, _K, _H)
  if plans == "same":
    action[:] = action[:, :1]
  return rollouts.rollout(
    *(cfg, world, jax.random.key(1), start, action),
    likely=likely,
    frames=True,
  )


@pytest.mark.parametrize("likely", [False, True])
def test_dreams_are_those_of_a_loop_over_single_steps(likely):
  cfg, world, start = _made()
  model, dreamt = cfg.world_model, jax.device_get(_dreamt(likely))
  step = fakes.jit(
    functools.partial(imagination.prior_step, model, most_likely=likely)
  )
  names, paid = list(model.token_sizes), 0.0
  for dream, keys in enumerate(jax.random.split(jax.random.key(1), _B * _K)):
    b, k = divmod(dream, _K)
    state = jax.tree.map(lambda leaf, b=b: leaf[b : b + 1], start.model)
    numbers = [dict(zip(names, _numbers(model, state), strict=True))]
    for h, key in enumerate(jax.random.split(keys, _H)):
      np.testing.assert_allclose(
        dreamt.state.model.deter[b, k, h], state.deter[0], atol=1e-4
      )
      np.testing.assert_array_equal(
        dreamt.frame[b, k, h], world_model.decode(model, world, state)[0]
      )
      state = step(world, key, state, _plans(_B, _K, _H)[b, k, h : h + 1])
      numbers.append(dict(zip(names, _numbers(model, state), strict=True)))
      for part in ("stoch", "tokens"):
        np.testing.assert_array_equal(
          getattr(dreamt.state.model, part)[b, k, h + 1],
          getattr(state, part)[0],
        )
      terms, reward = _judged(cfg, world, state, numbers)
      np.testing.assert_allclose(
        dreamt.reward_terms[b, k, h], terms, rtol=1e-3, atol=1e-4
      )
      np.testing.assert_allclose(dreamt.reward[b, k, h], reward, atol=1e-2)
      feat = world_model.features(state)
      logit = parts.apply(model, world, "continue", feat)
      np.testing.assert_allclose(
        dreamt.cont[b, k, h], jax.nn.sigmoid(logit)[0], rtol=1e-3
      )
      paid += abs(reward)
  assert paid > 1  # the loop compared something


def _numbers(model, state):
  return tokens.numbers(model.token_sizes, state.tokens)[0].tolist()


def _judged(cfg, world, state, numbers):
  """Terms of the last of some states, in numpy, and what they pay."""
  feat = world_model.features(state)
  outputs = parts.apply(cfg.world_model, world, "reward", feat)
  terms = np.array(reward_heads.predict(outputs)[0])
  *before, now = numbers
  best = lambda name: max(state[name] for state in before)
  terms[_TERM["new_maps"]] = now["map"] not in {s["map"] for s in before}
  terms[_TERM["badges"]] = max(now["badges"] - best("badges"), 0)
  terms[_TERM["species"]] = max(now["dex_owned"] - best("dex_owned"), 0)
  good = ("badges", "species", "new_maps", "wild_wins", "trainer_wins", "xp")
  happened = sum(min(terms[_TERM[name]], 1.0) for name in good)
  terms[_TERM["stuck"]] = max(1.0 - happened, 0.0)
  rises = max(now["level"] - best("level"), 0) if best("level") else 0
  return terms, terms @ _WEIGHTS + 0.5 * rises


def test_a_step_is_that_of_the_environment():
  cfg, world, start = _made()
  start = start.replace(running=jnp.array([True, False]))
  keys = jax.random.split(jax.random.key(4), _B)
  plans = _plans(_B, _K, _H)[:, 0]
  dreamt = rollouts.rollout(cfg, world, keys, start, plans)
  step = fakes.jit(
    jax.vmap(functools.partial(dream_env.advance, cfg, world), (0, 0, 0))
  )
  state, steps = start, jax.vmap(jax.random.split, (0, None))(keys, _H)
  for h in range(_H):
    state, arrival = step(steps[:, h], state, plans[:, h])
    for mine, theirs in (
      (dreamt.reward_terms, arrival.terms),
      (dreamt.reward, arrival.reward),
      (dreamt.cont, arrival.cont),
    ):
      np.testing.assert_allclose(mine[:, h], theirs, rtol=1e-3, atol=1e-3)
  for mine, theirs in zip(
    jax.tree.leaves(dreamt.state), jax.tree.leaves(state), strict=True
  ):
    np.testing.assert_allclose(mine[:, -1], theirs, rtol=1e-3, atol=1e-3)
  assert dreamt.reward[0].any()


def test_one_plan_a_state_is_the_first_of_many_and_goes_on():
  cfg, world, start = _made()
  key, dreamt = jax.random.key(1), _dreamt()
  keys = jax.random.split(key, _B * _K).reshape(_B, _K)
  alone = rollouts.rollout(
    cfg, world, keys[:, 0], start, _plans(_B, _K, _H)[:, 0]
  )
  assert alone.frame is None and alone.reward.shape == (_B, _H)
  for mine, theirs in zip(
    jax.tree.leaves(alone), jax.tree.leaves(_no_frames(dreamt)), strict=True
  ):
    np.testing.assert_allclose(mine, theirs[:, 0], rtol=1e-3, atol=1e-3)
  last = jax.tree.map(lambda leaf: leaf[:, -1], alone.state)
  further = rollouts.rollout(
    cfg, world, keys[:, 1], last, _plans(_B, _K, _H)[:, 1]
  )
  np.testing.assert_array_equal(further.state.time[:, -1], [2 * _H] * _B)
  np.testing.assert_array_equal(
    further.state.model.deter[:, 0], alone.state.model.deter[:, -1]
  )


def _no_frames(dreamt):
  return dreamt.replace(frame=None)


def test_equal_keys_are_equal_luck_and_others_are_not():
  cfg, world, start = _made()
  same = np.repeat(_plans(_B, 1, _H), _K, axis=1)
  dream = functools.partial(rollouts.rollout, cfg, world)
  shared = dream(jax.random.split(jax.random.key(2), _B), start, same)
  apart = _dreamt(plans="same")
  for found, equal in ((shared, True), (apart, False)):
    hot = np.asarray(found.state.model.tokens)
    assert (hot[:, 0] == hot[:, 1]).all() == equal


def test_it_may_be_called_from_a_compiled_function():
  cfg, world, start = _made()
  best = fakes.jit(
    lambda world, key, start, plans: rollouts.discounted(
      rollouts.rollout(cfg, world, key, start, plans), 0.9
    )
  )(world, jax.random.key(1), start, jnp.asarray(_plans(_B, _K, _H)))
  np.testing.assert_allclose(
    best, rollouts.discounted(_dreamt(), 0.9), rtol=1e-3, atol=1e-3
  )


def test_nothing_counts_behind_the_end_of_a_game():
  cont = jnp.array([[0.5, 1.0, 0.0, 1.0]])
  reward = jnp.array([[1.0, 2.0, 4.0, 8.0]])
  dreamt = _dreamt().replace(cont=cont, reward=reward)
  # 1 + .9 * .5 * 2 + .9 * .5 * .9 * 4, and then it is over.
  np.testing.assert_allclose(rollouts.discounted(dreamt, 0.9), [3.52])
  dreamt = dreamt.replace(cont=jnp.ones((1, 4)))
  np.testing.assert_allclose(
    rollouts.discounted(dreamt, 0.5, jnp.array([16.0])), [1 + 1 + 1 + 1 + 1]
  )


def test_a_policys_state_and_a_bare_one_will_do():
  cfg, world, start = _made()
  keys = jax.random.split(jax.random.key(3), _B)
  dream = functools.partial(rollouts.rollout, cfg, world, keys)
  plans = _plans(_B, _H)
  whole = dream(start, plans)
  acted = acting.init_state(cfg.world_model, _B).replace(
    model=start.model, progress=start.progress
  )
  for other in (acted, start.model):
    found = dream(other, plans)
    np.testing.assert_allclose(found.reward, whole.reward, atol=1e-4)
  seen = dataclasses.replace(
    acted.progress, visited=jnp.ones_like(acted.progress.visited)
  )
  nothing_new = dream(acted.replace(progress=seen), plans)
  assert whole.reward_terms[..., _TERM["new_maps"]].any()
  assert not nothing_new.reward_terms[..., _TERM["new_maps"]].any()


def test_what_does_not_belong_together_is_a_line():
  cfg, world, start = _made()
  dream = functools.partial(rollouts.rollout, cfg, world)
  key, plans = jax.random.key(0), _plans(_B, _K, _H)
  for arguments, message in (
    ((key, start, plans[0, 0]), r"action: int64\[4\], expected \[B, H\] or"),
    ((key, start, plans[..., :0]), r"action: int64\[2, 3, 0\], expected"),
    ((key, start, plans * 1.0), r"action: float.*expected integers"),
    ((key, start, plans + 1), "action: holds 8, expected 0 to 7"),
    ((key, start, plans[:1]), r"start: deter \[2, 32\], expected \[1, 32\]"),
    ((key, start.model.deter, plans), "start: ArrayImpl, expected"),
    ((jax.random.split(key, 5), start, plans), r"key: key<fry>\[5\].*\[2, 3\]"),
    ((0, start, plans), r"key: int\[\], expected one of jax\.random\.key"),
  ):
    with pytest.raises(ValueError, match=message):
      dream(*arguments)
  other = fakes.config("policy.reward=progress").world_model
  with pytest.raises(ValueError, match=r"start: tokens \[2, 45\], expected"):
    dream(key, world_model.initial_state(other, (_B,)), plans)
  published = fakes.config_v2()
  with pytest.raises(ValueError, match=r"world_model\.family|reward"):
    rollouts.rollout(published, world, key, start, plans)


def test_following_a_game_begins_and_carries_on():
  cfg, world, start = _made()
  model = cfg.world_model
  rows = [fakes.steps(_B, seed) for seed in range(3)]
  for row in rows:
    row["game_running"][:] = True
    row["party_level"][:, 0] = 3
  rows[0]["is_first"][:] = True
  follow = fakes.jit(functools.partial(following.follow, cfg))
  state = follow(
    *(world, jax.random.key(0), following.nothing(cfg, _B)),
    *(np.zeros(_B, int), rows[0]),
  )
  for mine, theirs in zip(
    jax.tree.leaves(state), jax.tree.leaves(start), strict=True
  ):
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
  actions = _plans(2, _B)
  for t, row in enumerate(rows[1:]):
    before, key = state, jax.random.key(t + 1)
    state = follow(world, key, state, actions[t], row)
    seen = world_model.act_step(
      *(model, world, key, before.model, jnp.asarray(row["frame"])),
      {k: jnp.asarray(v) for k, v in dream_play.ram_of(model, row).items()},
      *(jnp.asarray(actions[t]), jnp.zeros(_B, bool)),
    )
    np.testing.assert_allclose(state.model.deter, seen.deter, atol=1e-5)
  reached = np.zeros((_B, progress_lib.NUM_MAPS), bool)
  for row in rows:
    reached[np.arange(_B), row["map_id"]] = True
  np.testing.assert_array_equal(state.progress.visited, reached)
  np.testing.assert_allclose(
    state.earned, rows[1]["reward_terms"] + rows[2]["reward_terms"]
  )
  again = follow(world, jax.random.key(0), state, actions[0], rows[0])
  np.testing.assert_allclose(again.model.deter, start.model.deter, atol=1e-5)
  assert not again.earned.any() and not again.time.any()


def test_following_says_what_is_missing():
  cfg, world, _ = _made()
  state, row = following.nothing(cfg, _B), fakes.steps(_B, 0)
  del row["map_id"]
  see = functools.partial(
    following.follow, cfg, world, jax.random.key(0), state
  )
  with pytest.raises(ValueError, match=r"row: lacks \['map_id'\]"):
    see(np.zeros(_B, int), row)
  with pytest.raises(ValueError, match=r"action: \[3\], expected \[2, ...\]"):
    see(np.zeros(3, int), fakes.steps(_B, 0))
