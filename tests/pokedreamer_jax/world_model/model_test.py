"""Observing: order in time, resets, neighbours, acting and missing RAM."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_B, _T = 3, 6
_CFG = fakes.config().world_model
_OFF = fakes.config("world_model.ram=off").world_model
_RAM = {field.name for field in specs.RAM_FIELDS}
_KEY = jax.random.key(0)


def _observe(cfg, infer=False):
  def run(params, key, batch, start=None):
    return world_model.observe(cfg, params, key, batch, start, infer)

  return run


# Compiled once for the whole file; the second takes no sample at random.
_sampled = fakes.jit(_observe(_CFG))
_likely = fakes.most_likely(_observe(_CFG))
_likely_guessed = fakes.most_likely(_observe(_CFG, infer=True))


@pytest.fixture(scope="module")
def params():
  return fakes.params(_CFG, noise=0.3)


@pytest.fixture
def batch():
  return fakes.on_device(fakes.windows(_B, _T))


def _rows(tree, *index):
  return jax.tree.map(lambda leaf: leaf[index], tree)


def _frames_only(batch):
  """`batch` as it comes where nobody reads the memory."""
  return {name: v for name, v in batch.items() if name not in _RAM}


def _other(batch, streams, rows):
  """`batch` with everything in these streams and rows from other windows."""
  others = fakes.on_device(fakes.windows(_B, _T, seed=9))
  changed = dict(batch)
  for name in specs.STEP_FIELD_NAMES:
    where = (streams, rows)
    changed[name] = batch[name].at[where].set(others[name][where])
  return changed


def _equal_rows(left, right):
  """Where whole states agree, `[B, T]`."""
  return np.all(
    [
      np.all(np.asarray(a) == np.asarray(b), axis=-1)
      for a, b in zip(
        jax.tree.leaves(left.state), jax.tree.leaves(right.state), strict=True
      )
    ],
    axis=0,
  )


def test_what_observing_returns(params, batch):
  seen = _sampled(params, _KEY, batch)
  chex.assert_shape(seen.state.deter, (_B, _T, _CFG.deter))
  chex.assert_shape(seen.state.stoch, (_B, _T, _CFG.stoch_dim))
  chex.assert_shape(
    [seen.state.tokens, seen.token_logits, seen.infer_logits],
    (_B, _T, _CFG.token_dim),
  )
  chex.assert_shape([seen.prior, seen.post], (_B, _T, _CFG.stoch, _CFG.classes))
  numbers = tokens.read(_CFG.token_sizes, batch)
  np.testing.assert_array_equal(
    tokens.numbers(_CFG.token_sizes, seen.state.tokens), numbers
  )
  stoch = np.asarray(seen.state.stoch).reshape(-1, _CFG.classes)
  assert (np.sort(stoch, axis=-1) == np.eye(_CFG.classes)[-1]).all()
  feat = world_model.features(seen.state)
  chex.assert_shape(feat, (_B, _T, _CFG.feat_dim))
  chex.assert_tree_all_finite(seen)


@pytest.mark.parametrize("noise", [0.3, 30.0])
def test_categoricals_are_normalised_and_none_is_impossible(batch, noise):
  seen = _sampled(fakes.params(_CFG, noise=noise), _KEY, batch)
  least = _CFG.unimix / _CFG.classes
  for log_probs in (seen.prior, seen.post):
    probs = np.exp(np.asarray(log_probs, np.float64))
    np.testing.assert_allclose(probs.sum(-1), 1.0, rtol=1e-5)
    assert probs.min() >= least * (1 - 1e-5)
    assert probs.max() <= (1 - _CFG.unimix + least) * (1 + 1e-5)
  if noise > 1:  # certain weights: the bound is what remains
    np.testing.assert_allclose(np.exp(seen.post).min(), least, rtol=1e-3)


def test_the_future_leaves_the_past_unchanged(params, batch):
  changed = _other(batch, slice(None), slice(3, None))
  left, right = (_sampled(params, _KEY, b) for b in (batch, changed))
  chex.assert_trees_all_equal(
    _rows(left, slice(None), slice(3)), _rows(right, slice(None), slice(3))
  )
  assert not _equal_rows(left, right)[:, 3:].any()


def test_an_action_acts_on_the_next_row_and_not_before(params, batch):
  changed = dict(batch)
  changed["action"] = batch["action"].at[:, 2].add(1) % 8
  left, right = (_sampled(params, _KEY, b) for b in (batch, changed))
  expected = np.broadcast_to(np.arange(_T) < 3, (_B, _T))
  np.testing.assert_array_equal(_equal_rows(left, right), expected)


def test_a_stream_does_not_see_its_neighbours(params, batch):
  changed = _other(batch, slice(1, None), slice(None))
  left, right = (_sampled(params, _KEY, b) for b in (batch, changed))
  chex.assert_trees_all_equal(_rows(left, 0), _rows(right, 0))
  assert not _equal_rows(left, right)[1:].any()


def test_a_stream_alone_equals_the_stream_in_a_batch(params, batch):
  together = _likely(params, _KEY, batch)
  alone = _likely(params, _KEY, {k: v[1:2] for k, v in batch.items()})
  chex.assert_trees_all_close(
    _rows(together, slice(1, 2)), alone, rtol=1e-5, atol=1e-5
  )


def test_a_reset_equals_a_fresh_start(params, batch):
  batch["is_first"] = batch["is_first"].at[:, 2].set(True)
  late = _likely(params, _KEY, batch)
  # The same rows at the head of a window, after any state and action.
  rolled = {
    name: jnp.roll(value, -2, axis=1) if value.ndim > 1 else value
    for name, value in batch.items()
  }
  state = _rows(late.state, slice(None), 5)
  for start in (None, state):
    fresh = _likely(params, _KEY, rolled, start)
    chex.assert_trees_all_close(
      _rows(fresh, slice(None), slice(4)),
      _rows(late, slice(None), slice(2, 6)),
      rtol=1e-5,
      atol=1e-5,
    )


def test_a_window_continues_from_a_state(params, batch):
  whole = _likely(params, _KEY, batch)
  rolled = {
    name: jnp.roll(value, -2, axis=1) if value.ndim > 1 else value
    for name, value in batch.items()
  }
  rolled["first_action_tm1"] = batch["action"][:, 1]
  rolled["is_first"] = jnp.zeros_like(batch["is_first"])
  start = _rows(whole.state, slice(None), 1)
  rest = _likely(params, _KEY, rolled, start)
  chex.assert_trees_all_close(
    _rows(rest, slice(None), slice(4)),
    _rows(whole, slice(None), slice(2, 6)),
    rtol=1e-5,
    atol=1e-5,
  )


@pytest.mark.parametrize("infer", [False, True])
def test_acting_row_by_row_is_observing(params, batch, infer):
  batch["is_first"] = batch["is_first"].at[1, 3].set(True)
  act = fakes.most_likely(
    functools.partial(world_model.act_step, _CFG, infer=infer)
  )
  # What stands here before a first row must not matter.
  state = jax.tree.map(jnp.ones_like, world_model.initial_state(_CFG, (_B,)))
  batch["is_first"] = batch["is_first"].at[:, 0].set(True)
  if infer:
    whole = _likely_guessed(params, _KEY, _frames_only(batch))
  else:
    whole = _likely(params, _KEY, batch)
  action = jnp.full((_B,), specs.PASS, jnp.uint8)
  for t in range(_T):
    ram = {} if infer else {name: batch[name][:, t] for name in _RAM}
    state = act(
      params,
      _KEY,
      state,
      batch["frame"][:, t],
      ram,
      action,
      batch["is_first"][:, t],
    )
    chex.assert_trees_all_close(
      state, _rows(whole.state, slice(None), t), rtol=1e-4, atol=1e-5
    )
    action = batch["action"][:, t]


def test_guessing_needs_no_ram_and_keeps_its_guess(params, batch):
  seen = _likely_guessed(params, _KEY, _frames_only(batch))
  sizes = _CFG.token_sizes
  np.testing.assert_array_equal(
    tokens.numbers(sizes, seen.state.tokens),
    tokens.numbers(sizes, seen.infer_logits),
  )


def test_given_the_right_tokens_both_ways_agree(params, batch):
  guessed = _likely_guessed(params, _KEY, _frames_only(batch))
  numbers = tokens.numbers(_CFG.token_sizes, guessed.state.tokens)
  names = list(_CFG.token_sizes)
  fields = {
    "battle": "in_battle",
    "map": "map_id",
    "y": "y",
    "x": "x",
    "badges": "badges",
    "dex_owned": "dex_owned",
  }
  told = dict(batch)
  for i, name in enumerate(names):
    value = numbers[..., i]
    if name == "badges":
      value = 2**value - 1  # so many bits
    told[fields[name]] = value.astype(batch[fields[name]].dtype)
  given = _likely(params, _KEY, told)
  chex.assert_trees_all_close(given, guessed, rtol=1e-5, atol=1e-5)


def test_without_ram_there_are_no_tokens(batch):
  params = fakes.params(_OFF, noise=0.3)
  assert "chain" not in params
  seen = fakes.jit(_observe(_OFF))(params, _KEY, _frames_only(batch))
  chex.assert_shape(
    [seen.state.tokens, seen.token_logits, seen.infer_logits], (_B, _T, 0)
  )
  chex.assert_shape(
    world_model.features(seen.state), (_B, _T, _OFF.deter + _OFF.stoch_dim)
  )
  chex.assert_tree_all_finite(seen)


@pytest.mark.parametrize("chained", [True, False])
def test_without_ram_nothing_is_relative(batch, chained):
  cfg = dataclasses.replace(_OFF, relative_tokens=True, chain_changes=chained)
  params = fakes.params(cfg)
  seen = fakes.jit(_observe(cfg))(params, _KEY, _frames_only(batch))
  chex.assert_shape(seen.token_logits, (_B, _T, 0))


def test_a_token_is_predicted_from_those_before_it(params, batch):
  seen = _sampled(params, _KEY, batch)
  state = seen.state
  names = list(_CFG.token_sizes)
  places = tokens.slices(_CFG.token_sizes)

  @fakes.jit
  def logits(params, deter, hot):
    # Tokens of the step before count alone where they are predicted by change.
    own = token_prior.logits(_CFG, params, deter, jnp.zeros_like(hot))
    return own + parts.apply(_CFG, params, "chain", hot)

  np.testing.assert_allclose(
    logits(params, state.deter, state.tokens),
    seen.token_logits,
    rtol=1e-4,
    atol=1e-5,
  )
  y = places["y"]
  changed = state.tokens.at[..., y].set(
    jnp.roll(state.tokens[..., y], 1, axis=-1)
  )
  moved = logits(params, state.deter, changed) != logits(
    params, state.deter, state.tokens
  )
  for i, name in enumerate(names):
    assert bool(moved[..., places[name]].any()) == (i > names.index("y")), name


def test_decoding_shows_the_likeliest_tiles(params, batch):
  state = _rows(_sampled(params, _KEY, batch).state, slice(2), slice(2))
  packed = world_model.decode(_CFG, params, state)
  chex.assert_shape(packed, (2, 2, 144, 40))
  assert packed.dtype == jnp.uint8
  logits = parts.apply(_CFG, params, "decoder", world_model.features(state))
  chex.assert_shape(logits, (2, 2, 360, _CFG.tile_vocab + 1))
  np.testing.assert_array_equal(
    tiles.decode(world_model.tile_table(params), logits.argmax(-1)), packed
  )


def test_a_model_that_cannot_be_built_says_why():
  with pytest.raises(ValueError, match=r"tile_vocab: table 8"):
    world_model.init(_CFG, _KEY, fakes.table(8))
  strange = world_model_config.WorldModelConfig(tokens="map:4 luck:7")
  with pytest.raises(ValueError, match=r"unknown \['luck'\]"):
    world_model.init(strange, _KEY, fakes.table(8))
