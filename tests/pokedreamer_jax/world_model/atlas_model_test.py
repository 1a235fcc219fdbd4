"""A world model with an atlas: what is refused, kept, read and trained."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import tile_mixture
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)


def _config(*overrides):
  return fakes.config(
    *("world_model.atlas=counted", "world_model.atlas_cells=512"), *overrides
  )


_B, _T = 2, 4
_CONFIG = _config(
  *("train.batch_size=2", "train.seq_len=4", "train.decode_blocks=20"),
)
_CFG = _CONFIG.world_model


@functools.cache
def _params():
  """Shaken weights, and an atlas of random tiles in which all is known."""
  params = fakes.params(_CFG, noise=0.3)
  rng = np.random.default_rng(0)
  pages = np.zeros(params["atlas"]["pages"].shape, np.int32)
  pages[1].flat[:7] = np.arange(1, 8)
  held = rng.integers(0, _CFG.tile_vocab, (_CFG.atlas_cells, 4))
  held[0] = _CFG.tile_vocab
  atlas = {
    **params["atlas"],
    "pages": jnp.asarray(pages),
    "tiles": jnp.asarray(held, jnp.int32),
  }
  return {**params, "atlas": atlas}


def _at(y, x, map_id=1):
  """One-hot tokens `[1, R]` of a place."""
  numbers = {"map": map_id, "y": y, "x": x}
  row = [numbers.get(name, 0) for name in _CFG.token_sizes]
  return tokens.one_hot(_CFG.token_sizes, jnp.array([row]))


def _with_tile(params, y, x, map_id=1):
  """`params` with another tile at a cell of the atlas."""
  atlas = jax.tree.map(np.array, world_model.map_memory(params))
  cell = atlas_lib.cells(atlas, map_id, y, x)
  assert cell > 0
  atlas.tiles[cell] = (atlas.tiles[cell] + 1) % _CFG.tile_vocab
  return {**params, "atlas": jax.tree.map(jnp.asarray, atlas_lib.leaves(atlas))}


@pytest.mark.parametrize(
  ("preset", "overrides", "said"),
  [
    ("v2", [], "family v2 has no map memory, expected 'off'"),
    ("tiny", ["ram=off"], r"no tokens \['map', 'x', 'y'\], so no place"),
    ("tiny", ["tokens=map:4 y:9"], r"no tokens \['x'\]"),
    ("v3", [], "decoder 'pixels' shows no tiles"),
    ("tiny", ["tile_vocab=70000"], "tile_vocab 70000 is not below 65536"),
    ("tiny", ["atlas_cells=1000"], "1000, expected a multiple of 64"),
    ("tiny", ["atlas_cells=64"], "64, expected at least 128"),
    ("tiny", ["atlas_units=0"], "0, expected at least 1"),
    ("tiny", ["atlas_hidden=1"], "1.0, expected 0 to below 1"),
  ],
)
def test_what_no_atlas_can_serve_is_refused_in_one_line(
  preset, overrides, said
):
  overrides = [f"world_model.{item}" for item in overrides]
  with pytest.raises(ValueError, match=said) as error:
    presets.make(preset, ["world_model.atlas=counted", *overrides])
  assert "\n" not in str(error.value)


def test_a_configuration_written_before_there_was_any_has_none():
  values = config_lib.to_dict(config_lib.Config())
  for name in ("atlas", "atlas_cells", "atlas_units", "atlas_hidden"):
    del values["world_model"][name]
  del values["world_model"]["relative_tokens"], values["train"]["decode_blocks"]
  assert config_lib.from_dict(values) == config_lib.Config()
  assert not config_lib.Config().world_model.has_atlas
  with pytest.raises(ValueError, match="atlas: 'on', expected one of"):
    presets.make("tiny", ["world_model.atlas=on"])


def test_an_atlas_of_another_size_is_refused():
  cfg = _config().world_model
  other = atlas_lib.empty(dataclasses.replace(cfg, atlas_cells=256))
  with pytest.raises(ValueError, match="atlas: 256 cells"):
    world_model.init(cfg, _KEY, fakes.table(cfg.tile_vocab), other)


def test_the_parameters_carry_it():
  cfg = _config().world_model
  atlas = atlas_lib.empty(cfg)
  atlas = atlas.replace(tiles=atlas.tiles.at[64].set(jnp.arange(4)))
  params = fakes.jit(functools.partial(world_model.init, cfg))(
    _KEY, fakes.table(cfg.tile_vocab), atlas
  )
  chex.assert_trees_all_equal(world_model.map_memory(params), atlas)
  shapes = world_model.shapes(cfg)
  assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params) == (
    jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes)
  )


def _log_probs(outputs):
  """Of every tile of the dictionary, `[..., V + 1]`."""
  shape = outputs.logits.shape
  each = [
    -tile_mixture.nats(outputs, jnp.full(shape[:-1], tile))
    for tile in range(shape[-1])
  ]
  return jnp.stack(each, axis=-1)


def test_the_decoder_sees_the_cells_in_sight_and_no_others():
  params = _params()
  rest = jnp.zeros((1, _CFG.feat_dim - _CFG.token_dim))
  feat = jnp.concatenate([rest, _at(5, 5)], axis=-1)

  @fakes.jit
  def decode(params, feat):
    return _log_probs(world_model.decoder_outputs(_CFG, params, feat))

  def changed(y, x):
    """Blocks `[9, 10]` whose tiles another tile at a cell changes."""
    after = decode(_with_tile(params, y, x), feat)
    return np.asarray(
      (after != decode(params, feat)).reshape(9, 10, -1).any(axis=-1)
    )

  for y, x in ((5, 5), (2, 8), (5, 10), (1, 1)):
    row, column = y - 5 + 4, x - 5 + 4
    near = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    expected = {(row + i, column + j) for i, j in near}
    expected = {(i, j) for i, j in expected if 0 <= i < 9 and 0 <= j < 10}
    assert set(zip(*changed(y, x).nonzero(), strict=True)) == expected
  assert not changed(-1, 5).any() and not changed(5, 12).any()


def test_the_step_feels_the_cells_around_and_no_others():
  params, tokens_tm1 = _params(), _at(5, 5)
  project = fakes.jit(functools.partial(world_model.project_known, _CFG))
  up = jax.nn.one_hot(jnp.array([specs.ACTIONS.index("up")]), specs.NUM_ACTIONS)
  none = jnp.zeros_like(up)

  def felt(action, y, x, hot=tokens_tm1):
    after = project(_with_tile(params, y, x), hot, action)
    return bool((after != project(params, hot, action)).any())

  for y, x in ((5, 5), (4, 5), (6, 5), (5, 4), (5, 6)):
    assert felt(up, y, x) and felt(none, y, x)
  assert felt(up, 3, 5) and not felt(none, 3, 5)  # two cells ahead
  for y, x in ((7, 5), (5, 3), (4, 4), (2, 5)):
    assert not felt(up, y, x) and not felt(none, y, x)
  # Before the first row of an episode there is no place to stand at.
  assert not felt(up, 0, 0, jnp.zeros_like(tokens_tm1))
  assert not felt(up, 5, 5, _at(5, 5, map_id=2))


@functools.cache
def _seen(infer):
  batch = fakes.on_device(fakes.windows(_B, _T))
  observe = fakes.most_likely(
    lambda params, batch: world_model.observe(
      _CFG, params, _KEY, batch, infer=infer
    )
  )
  return batch, observe(_params(), batch)


def _in_the_atlas(hot):
  place = atlas_lib.place(_CFG.token_sizes, hot)
  around = atlas_lib.around(
    world_model.map_memory(_params()),
    place,
    jnp.zeros((*place.y.shape, 2), jnp.int32),
  )
  return int((around > 0).sum())


@pytest.mark.parametrize("infer", [False, True])
def test_observing_dreaming_and_acting_read_the_same_cells(infer):
  batch, seen = _seen(infer)
  before = jax.tree.map(lambda leaf: leaf[:, 1], seen.state)
  if not infer:  # guessed places may be anywhere
    assert _in_the_atlas(seen.state.tokens) > 0
  expected = seen.state.deter[:, 2]
  # As dreams step, from the same state and action.
  step = fakes.most_likely(
    lambda params, state, action: imagination.prior_step(
      _CFG, params, _KEY, state, action
    )
  )
  dreamt = step(_params(), before, batch["action"][:, 1])
  np.testing.assert_allclose(dreamt.deter, expected, rtol=1e-5, atol=1e-5)
  # As players do, a frame at a time.
  act = fakes.most_likely(
    lambda params, state, row, action: world_model.act_step(
      _CFG,
      params,
      _KEY,
      state,
      row["frame"],
      acting.ram_of(row),
      action,
      row["is_first"],
      infer,
    )
  )
  row = {name: value[:, 2] for name, value in batch.items() if value.ndim > 1}
  acted = act(_params(), before, row, batch["action"][:, 1])
  now = jax.tree.map(lambda leaf: leaf[:, 2], seen.state)
  chex.assert_trees_all_close(acted, now, rtol=1e-5, atol=1e-5)


def test_players_take_the_atlas_along():
  params = acting.acting_params(_CFG, _params())
  assert {"atlas", "tiles", "rssm"} < set(params) and "decoder" not in params
  actor = actor_critic.init_actor(
    _CONFIG.actor_critic, jax.random.key(1), policy_inputs.size(_CONFIG)
  )
  act = acting.make_act(_CONFIG, params, actor)
  row = {k: v[:, 0] for k, v in fakes.windows(_B, _T).items() if v.ndim > 1}
  state = acting.init_state(_CFG, _B)
  for number in range(2):
    state, action = act(
      state,
      row["frame"],
      acting.ram_of(row),
      row["is_first"],
      jax.random.key(number),
    )
  assert action.shape == (_B,)


def test_what_training_hides_is_as_good_as_unknown():
  cells = jnp.arange(1, 4001).reshape(2, 2000)
  found = np.asarray(atlas_lib.hidden(_KEY, 0.3, cells))
  assert ((found == 0) | (found == cells)).all()
  assert 0.25 < (found == 0).mean() < 0.35
  # All hidden, decoder and step are those of an atlas that knows nothing.
  params, hot = _params(), _at(5, 5)
  blank = {**params, "atlas": vars(atlas_lib.empty(_CFG))}
  rest = jnp.zeros((1, _CFG.feat_dim - _CFG.token_dim))
  action = jnp.zeros((1, specs.NUM_ACTIONS))

  @fakes.jit
  def read(params, share):
    hide = functools.partial(atlas_lib.hidden, _KEY, share)
    feat = jnp.concatenate([rest, hot], axis=-1)
    return (
      _log_probs(world_model.decoder_outputs(_CFG, params, feat, hide)),
      world_model.project_known(_CFG, params, hot, action, hide),
    )

  nothing, hidden, seen = read(blank, 0.0), read(params, 1.0), read(params, 0.0)
  chex.assert_trees_all_close(nothing, hidden, rtol=1e-5)
  for one, other in zip(nothing, seen, strict=True):
    assert (one != other).any()


def test_an_update_trains_the_readers_and_never_the_atlas():
  state = training.init_state(_CONFIG.train, _params())
  batch = fakes.on_device(fakes.windows(_B, _T))
  update = fakes.jit(training.make_update(_CONFIG))
  after = state
  for _ in range(3):
    after, metrics = update(after, batch, _KEY)
  assert update._cache_size() == 1
  chex.assert_trees_all_equal(after.params["atlas"], state.params["atlas"])
  assert np.isfinite(metrics["loss/total"])
  kinds = {leaf.dtype for leaf in jax.tree.leaves(after.opt_state)}
  assert kinds == {jnp.dtype("float32"), jnp.dtype("int32")}
  for name in ("decoder", "rssm"):
    moved = jax.tree.map(
      lambda a, b: bool((a != b).any()), state.params[name], after.params[name]
    )
    assert all(jax.tree.leaves(moved)), moved


@pytest.mark.parametrize(
  ("platform", "dtype"), [("tpu", "float32"), ("cuda", "bfloat16")]
)
def test_updates_and_dreams_lower_for_accelerators(platform, dtype):
  cfg = dataclasses.replace(
    _CONFIG, world_model=dataclasses.replace(_CFG, compute_dtype=dtype)
  )
  state = fakes.state_shapes(cfg)
  batch = jax.eval_shape(lambda: fakes.on_device(fakes.windows(_B, _T)))
  update = jax.jit(training.make_update(cfg))
  programs = [update.trace(state, batch, _KEY)]
  start = jax.eval_shape(
    lambda: world_model.initial_state(cfg.world_model, (_B,))
  )

  def dream(params, key, start):
    end = imagination.replay_actions(
      cfg.world_model, params, key, start, jnp.zeros((3, _B), jnp.int32)
    )
    return world_model.decode(cfg.world_model, params, end)

  programs.append(jax.jit(dream).trace(state.params, _KEY, start))
  for traced in programs:
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "stablehlo" in text


def test_a_state_may_hold_the_place_and_no_other_token():
  cfg = _config("world_model.tokens=map:8 y:12 x:12").world_model
  feat = jnp.zeros((2, cfg.feat_dim))
  params = fakes.params(cfg)
  found = world_model.decoder_outputs(cfg, params, feat)
  assert found.logits.shape == (2, 360, cfg.tile_vocab + 1)
