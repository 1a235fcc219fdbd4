"""Pieces of the atlas left out or added one by one: what goes, what stays."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import tile_mixture
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import image_loss
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)
_AROUND_OFF = "world_model.atlas_around=false"
_COPIES_OFF = "world_model.atlas_copies=false"
_MIX = "world_model.block_mix=true"


def _config(*overrides):
  return fakes.config(
    *("world_model.atlas=counted", "world_model.atlas_cells=512"),
    *("train.batch_size=2", "train.seq_len=4", "train.decode_blocks=20"),
    *overrides,
  )


def _known(params, first=0):
  """`params` with an atlas of tiles from `first` on in which all is known."""
  atlas = params["atlas"]
  pages = 1 + np.arange(atlas["pages"].size) % 7
  held = first + np.arange(atlas["tiles"].size) % 9
  return {
    **params,
    "atlas": {
      **atlas,
      "pages": jnp.asarray(pages.reshape(atlas["pages"].shape), jnp.int32),
      "tiles": jnp.asarray(held.reshape(-1, 4), jnp.int32),
    },
  }


def _names(params):
  """The paths of all leaves."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


@pytest.mark.parametrize(
  ("override", "gone"),
  [
    (_AROUND_OFF, "['rssm']['around']"),
    (_COPIES_OFF, "['decoder']['copy_"),
  ],
)
def test_a_piece_takes_its_parameters_along_and_no_others(override, gone):
  whole = _names(fakes.params(_config().world_model))
  rest = _names(fakes.params(_config(override).world_model))
  lost = whole.keys() - rest.keys()
  assert lost and all(name.startswith(gone) for name in lost)
  assert not [name for name in rest if name.startswith(gone)]
  for name, leaf in rest.items():
    chex.assert_trees_all_equal(leaf, whole[name])


def test_unseen_tokens_reach_blocks_through_the_state_alone():
  told, seen = (
    _config(f"world_model.unseen_tokens={names}").world_model
    for names in ("battle", "")
  )
  size = told.token_sizes["battle"]
  params = fakes.params(told, noise=0.3)
  whole = _names(fakes.params(seen))
  different = {
    name: (leaf.shape, whole[name].shape)
    for name, leaf in _names(params).items()
    if leaf.shape != whole[name].shape
  }
  rows, columns = whole["['decoder']['token_out']['kernel']"].shape
  assert different == {
    "['decoder']['token_out']['kernel']": (
      (rows - size, columns),
      (rows, columns),
    )
  }
  feat = _feat(told)[0]
  at = told.feat_dim - told.token_dim
  at += tokens.slices(told.token_sizes)["battle"].start
  other = feat.at[..., at : at + size].set(jnp.eye(size)[1])
  look = lambda params, feat: (
    world_model.decoder_outputs(told, params, feat).logits
  )
  assert bool((look(params, feat) != look(params, other)).any())
  # Without that layer, and what the cells' gates read, nothing tells it.
  decoder = dict(params["decoder"])
  for name in ("state_out", "shift", "block"):
    decoder[name] = jax.tree.map(jnp.zeros_like, decoder[name])
  blind = {**params, "decoder": decoder}
  chex.assert_trees_all_equal(look(blind, feat), look(blind, other))


def test_without_an_atlas_both_say_nothing():
  plain = fakes.config().world_model
  other = fakes.config(_AROUND_OFF, _COPIES_OFF).world_model
  assert not plain.reads_around and not other.reads_around
  chex.assert_trees_all_equal(
    world_model.shapes(plain), world_model.shapes(other)
  )


def test_a_configuration_written_before_has_both():
  values = config_lib.to_dict(presets.make("tiny"))
  for name in ("atlas_around", "atlas_copies", "block_mix"):
    del values["world_model"][name]
  del values["train"]["error_share"]
  assert config_lib.from_dict(values) == presets.make("tiny")
  cfg = config_lib.from_dict(values).world_model
  assert cfg.reads_around and cfg.atlas_copies and not cfg.block_mix


def _feat(cfg, seed=0):
  rng = np.random.default_rng(seed)
  rest = rng.normal(size=(3, cfg.feat_dim - cfg.token_dim))
  numbers = {"map": 1, "y": 5, "x": 5}
  row = jnp.array([[numbers.get(name, 0) for name in cfg.token_sizes]] * 3)
  hot = tokens.one_hot(cfg.token_sizes, row)
  return jnp.concatenate([jnp.asarray(rest, jnp.float32), hot], axis=-1), hot


@pytest.mark.parametrize("around", [True, False])
def test_the_step_reads_the_atlas_where_it_is_told_to(around):
  cfg = _config(*([] if around else [_AROUND_OFF])).world_model
  params = fakes.params(cfg, noise=0.3)
  feat, hot = _feat(cfg)
  action = jnp.zeros((3, specs.NUM_ACTIONS))

  @fakes.jit
  def read(params):
    known = world_model.project_known(cfg, params, hot, action)
    return known, world_model.decoder_outputs(cfg, params, feat).logits

  one, other = read(_known(params)), read(_known(params, first=9))
  assert bool((one[0] != other[0]).any()) == around
  assert bool((one[1] != other[1]).any())  # the decoder reads it either way
  player = acting.acting_params(cfg, params)
  assert ("atlas" in player) == around


def test_players_do_without_an_atlas_that_only_the_decoder_reads():
  cfg = _config(_AROUND_OFF).world_model
  params = _known(fakes.params(cfg, noise=0.3))
  batch = fakes.on_device(fakes.windows(2, 4))
  observe = fakes.jit(
    lambda params: world_model.observe(cfg, params, _KEY, batch).state
  )
  chex.assert_trees_all_equal(
    observe(acting.acting_params(cfg, params)), observe(params)
  )


def test_without_copies_a_tile_is_what_the_softmax_says():
  cfg = _config(_COPIES_OFF).world_model
  params = _known(fakes.params(cfg, noise=0.3))
  outputs = world_model.decoder_outputs(cfg, params, _feat(cfg)[0])
  log_probs = jax.nn.log_softmax(outputs.logits)
  for tile in (0, 3, cfg.tile_vocab):
    said = tile_mixture.nats(outputs, jnp.full(log_probs.shape[:-1], tile))
    np.testing.assert_allclose(said, -log_probs[..., tile], rtol=1e-5)
  chex.assert_trees_all_equal(
    tile_mixture.likeliest(outputs),
    jnp.argmax(outputs.logits, axis=-1).astype(jnp.int32),
  )
  # What it draws still follows the cells in sight.
  other = world_model.decoder_outputs(
    cfg, _known(params, first=9), _feat(cfg)[0]
  )
  assert bool((other.logits != outputs.logits).any())


def test_without_copies_drawn_blocks_still_stand_for_all():
  cfg = _config(_COPIES_OFF).world_model
  params = _known(fakes.params(cfg, noise=0.3))
  batch = fakes.on_device(fakes.windows(2, 3))
  feat = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 3, cfg.feat_dim)), jnp.float32
  )

  def loss(blocks, key):
    return image_loss.image_loss(
      *(cfg, params, key, batch, feat), decode_rows=6, decode_blocks=blocks
    )[0]

  whole = float(fakes.jit(functools.partial(loss, 0))(_KEY))
  some = fakes.jit(functools.partial(loss, 20))
  values = [float(some(jax.random.key(n))) for n in range(60)]
  error = np.std(values) / np.sqrt(len(values))
  assert abs(np.mean(values) - whole) < 4 * error + 1e-3 * whole


def test_a_block_reads_the_eight_around_it_and_no_others():
  cfg = _config(_MIX).world_model
  plain = _config().world_model
  params = _known(fakes.params(cfg, noise=0.3))
  gained = _names(params).keys() - _names(fakes.params(plain)).keys()
  assert {name.split("'")[3] for name in gained} == {"mix_in"}
  # What tokens add to one block alone.
  kernel = params["decoder"]["token_out"]["kernel"]
  units, feat = cfg.block_units, _feat(cfg)[0][:1]

  def decode(cfg, row, column):
    start = (10 * row + column) * units
    changed = kernel.at[:, start : start + units].add(1.0)
    decoder = {**params["decoder"], "token_out": {"kernel": changed}}
    made = world_model.decoder_outputs(
      cfg, {**params, "decoder": decoder}, feat
    )
    return made.logits.reshape(9, 10, -1)

  for row, column in ((4, 5), (0, 0), (8, 3)):
    for of, reach in ((cfg, 1), (plain, 0)):
      moved = np.asarray(decode(of, row, column) != decode(of, 6, 8)).any(-1)
      moved[6 - reach : 7 + reach, 8 - reach : 9 + reach] = False
      rows, columns = moved.nonzero()
      assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {
        (r, c)
        for r in range(max(row - reach, 0), min(row + reach, 8) + 1)
        for c in range(max(column - reach, 0), min(column + reach, 9) + 1)
      }


@pytest.mark.parametrize("override", [_AROUND_OFF, _COPIES_OFF, _MIX])
def test_an_update_trains_all_that_is_left(override):
  config = _config(override)
  params = _known(fakes.params(config.world_model, noise=0.3))
  state = training.init_state(config.train, params)
  batch = fakes.on_device(fakes.windows(2, 4))
  update = fakes.jit(training.make_update(config))
  after = state
  for _ in range(2):
    after, metrics = update(after, batch, _KEY)
  assert np.isfinite(metrics["loss/total"])
  for name in ("decoder", "rssm"):
    moved = jax.tree.map(
      lambda a, b: bool((a != b).any()), state.params[name], after.params[name]
    )
    assert all(jax.tree.leaves(moved)), moved
