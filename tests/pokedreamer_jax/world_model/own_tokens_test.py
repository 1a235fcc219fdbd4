"""The model's own tokens as input: which rows, what they are, what they do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.networks import sampling
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import own_tokens
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)
_B, _T = 4, 5
_CONFIG = fakes.config(
  *("world_model.relative_tokens=true", "world_model.chain_changes=true"),
  "train.error_share=0.5",
  *("train.batch_size=4", "train.seq_len=5"),
)
_CFG = _CONFIG.world_model


@functools.cache
def _batch():
  rows = fakes.windows(_B, _T)
  rows["is_first"][1, 3] = True
  return fakes.on_device(rows)


def _sure(params, name, value):
  """`params` that say `value` of a token, whatever was before."""
  head = params["rssm"]["token_net"]
  place = tokens.slices(_CFG.token_sizes)[name].start + value
  bias = head["Dense_1"]["bias"].at[place].add(1e4)
  head = {**head, "Dense_1": {**head["Dense_1"], "bias": bias}}
  return {**params, "rssm": {**params["rssm"], "token_net": head}}


@functools.cache
def _params():
  return _sure(fakes.params(_CFG, noise=0.3), "y", 11)


def _read(key, share):
  """The recorded tokens that steps would read, and what they do read."""
  return _read_fn(share)(_params(), key)


@functools.cache
def _read_fn(share):
  batch = _batch()

  def read(params, key):
    embed = world_model.embed_frames(_CFG, params, batch["frame"])
    hot = tokens.one_hot(_CFG.token_sizes, tokens.read(_CFG.token_sizes, batch))
    start = jnp.zeros((_B, _CFG.token_dim))
    recorded = world_model.last_tokens(start, hot, batch["is_first"])
    return recorded, own_tokens.tokens_tm1(
      _CFG, params, key, batch, embed, share
    )

  return fakes.jit(read)


def _y(hot):
  place = tokens.slices(_CFG.token_sizes)["y"]
  return np.asarray(hot[..., place].argmax(-1))


def test_steps_read_what_the_model_says_of_the_row_before():
  recorded, read = (np.asarray(x) for x in _read(_KEY, 1.0))
  assert (_y(recorded) < 11).all()
  own = np.zeros((_B, _T), bool)
  own[:, 2:] = True  # rows 0 and 1 read the start and the window's first row
  own[1, 3] = False  # that row is first and reads nothing ...
  own[1, 4] = False  # ... and this one reads what was predicted from nothing
  np.testing.assert_array_equal(read[~own], recorded[~own])
  assert (_y(read)[own] == 11).all()
  assert (read[1, 3] == 0).all() and (read[0, 0] == 0).all()
  for place in tokens.slices(_CFG.token_sizes).values():
    np.testing.assert_array_equal(read[own][:, place].sum(-1), 1.0)
  assert (read[own] != recorded[own]).any(axis=-1).all()


def test_the_first_windows_are_taken_as_often_as_the_share_says():
  share, times = 0.3, 100  # two of four windows, each in 60 of 100 updates
  taken = np.zeros(_B)
  for n in range(times):
    recorded, read = _read(jax.random.key(n), share)
    taken += np.asarray((recorded != read).any(axis=(1, 2)))
  assert (taken[2:] == 0).all()
  error = np.sqrt(0.6 * 0.4 / times)
  assert (np.abs(taken[:2] / times - 0.6) < 4 * error).all()


def test_steps_read_them_and_the_state_keeps_the_recorded_ones():
  params, batch = fakes.params(_CFG, noise=0.3), _batch()
  recorded, read = _read(_KEY, 1.0)

  @fakes.most_likely
  def observe(params, tokens_tm1):
    return world_model.observe(_CFG, params, _KEY, batch, tokens_tm1=tokens_tm1)

  plain = fakes.most_likely(
    lambda params: world_model.observe(_CFG, params, _KEY, batch)
  )(params)
  same, other = observe(params, recorded), observe(params, read)
  for left, right in zip(
    jax.tree.leaves(plain), jax.tree.leaves(same), strict=True
  ):
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(other.state.tokens, plain.state.tokens)
  # Row 2 is the first to read one of its own, on what was observed before.
  np.testing.assert_array_equal(
    other.state.deter[:, :2], same.state.deter[:, :2]
  )
  moved = np.abs(other.state.deter - same.state.deter).max(axis=-1)
  assert (moved[:, 2] > 1e-4).all()
  # A change is added to the value that was read.
  logits = token_prior.told_logits(
    _CFG, params, other.state.deter, read, other.state.tokens
  )
  np.testing.assert_allclose(other.token_logits, logits, rtol=1e-4, atol=1e-4)


def test_an_update_is_made_with_them():
  batch = _batch()
  state = training.init_state(_CONFIG.train, _params())
  _, metrics = fakes.jit(training.make_update(_CONFIG))(state, batch, _KEY)
  key = jax.random.fold_in(_KEY, state.step)

  def loss(share):
    run = fakes.jit(
      lambda params: losses.world_model_loss(
        _CFG, params, key, batch, 8, error_share=share
      )[1]["loss/tokens"]
    )
    return float(run(_params()))

  with_own = loss(0.5)
  np.testing.assert_allclose(metrics["loss/tokens"], with_own, rtol=1e-4)
  assert abs(with_own - loss(0.0)) > 1e-3
  assert np.isfinite(metrics["grad/norm"])


def test_the_own_tokens_carry_no_gradient():
  batch = _batch()

  def total(params):
    embed = world_model.embed_frames(_CFG, params, batch["frame"])
    read = own_tokens.tokens_tm1(
      *(_CFG, params, _KEY, batch, embed, 1.0), sampling.straight_through
    )
    return jnp.vdot(read, jnp.arange(read.size).reshape(read.shape))

  weights = {k: v for k, v in _params().items() if k != "tiles"}
  frozen = {"tiles": _params()["tiles"]}
  grads = fakes.jit(jax.grad(lambda w: total({**w, **frozen})))(weights)
  assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(grads))
