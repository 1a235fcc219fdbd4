"""The update: its schedule, exact repetition, and one batch learned."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import codecs
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config(
  "train.steps=160",
  "train.warmup_steps=20",
  "train.learning_rate=0.02",
  "train.decode_rows=32",
  "world_model.image_scale=1.0",
  "world_model.block_units=32",
  "world_model.tile_units=16",
)
_KEY = jax.random.key(0)
# Of the published networks 227 MB are known, and nothing there decays.
_OURS = sorted(
  name
  for name in presets.PRESETS
  if presets.make(name).world_model.family == "v3"
)
_update = fakes.jit(chex.assert_max_traces(training.make_update(_CONFIG), n=1))
_observe = fakes.jit(
  lambda params, key, batch: (
    world_model.observe(_CONFIG.world_model, params, key, batch).state
  )
)


def _state():
  params = fakes.params(_CONFIG.world_model)
  return training.init_state(_CONFIG.train, params)


def _batch(seed=0):
  return fakes.on_device(fakes.windows(4, 8, seed))


def _train(state, steps):
  for number in range(int(state.step), int(state.step) + steps):
    state, metrics = _update(state, _batch(number), _KEY)
  return state, metrics


@pytest.mark.parametrize(
  ("step", "rate"),
  [
    (0, 0.0),
    (5, 0.05),
    (10, 0.1),
    (59, 0.1),
    (60, 0.1),
    (80, 0.05),
    (99, 0.0025),
    (100, 0.0),
    (500, 0.0),
  ],
)
def test_the_learning_rate_by_hand(step, rate):
  # 100 steps: up until 10, level until 60, then 0.1 / 40 down a step.
  cfg = config_lib.TrainConfig(
    steps=100, learning_rate=0.1, warmup_steps=10, decay_share=0.4
  )
  np.testing.assert_allclose(training.learning_rate(cfg)(step), rate, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 20, 150])
def test_a_short_run_rises_once_and_falls_once(steps):
  cfg = config_lib.TrainConfig(steps=steps, warmup_steps=100)
  schedule = training.learning_rate(cfg)
  rates = np.array([schedule(step) for step in range(steps + 1)])
  top = rates.argmax()
  assert (np.diff(rates[: top + 1]) >= 0).all()
  assert (np.diff(rates[top:]) <= 0).all()
  assert rates[-1] == 0.0
  np.testing.assert_allclose(rates.max(), cfg.learning_rate, rtol=1e-5)


_WEIGHTS = {
  "dense": {"kernel": jnp.array([[3.0, 4.0]]), "bias": jnp.array([2.0, 2.0])},
  "norm": {"scale": jnp.array([1.0, 1.0])},
}


def _train_config(**fields):
  # No warm-up and a constant rate; at agc = 1e9 nothing is clipped by it.
  return config_lib.TrainConfig(
    steps=100,
    learning_rate=0.1,
    warmup_steps=0,
    **{"decay_share": 0.01, "agc": 1e9, **fields},
  )


def _first_step(cfg, grads):
  tx = training.optimiser(cfg)
  return tx.update(grads, tx.init(_WEIGHTS), _WEIGHTS)[0]


def test_weight_decay_by_hand():
  # Adam's first step is the rate times the sign of the gradient; where the
  # gradient is zero, decay alone is left: 0.1 * 0.5 times the weight.
  cfg = _train_config(weight_decay=0.5, decay_names="kernel")
  grads = jax.tree.map(jnp.zeros_like, _WEIGHTS)
  step = _first_step(cfg, grads)
  np.testing.assert_allclose(step["dense"]["kernel"], [[-0.15, -0.2]])
  np.testing.assert_array_equal(step["dense"]["bias"], 0.0)
  np.testing.assert_array_equal(step["norm"]["scale"], 0.0)
  grads["dense"]["kernel"] = jnp.array([[7.0, -9.0]])
  step = _first_step(cfg, grads)
  np.testing.assert_allclose(
    step["dense"]["kernel"], [[-0.1 - 0.15, 0.1 - 0.2]], rtol=1e-5
  )


def test_the_whole_gradient_is_clipped_by_hand():
  # The norm of (3, 4) and (12, 0) is 13; bounded to 1.3, all shrink by ten.
  grads = jax.tree.map(jnp.zeros_like, _WEIGHTS)
  grads["dense"] = {
    "kernel": jnp.array([[3.0, 4.0]]),
    "bias": jnp.array([12.0, 0.0]),
  }
  tx = training.optimiser(_train_config(clip_norm=1.3))
  _, state = tx.update(grads, tx.init(_WEIGHTS), _WEIGHTS)
  (adam,) = [
    leaf
    for leaf in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu"))
    if hasattr(leaf, "mu")
  ]
  # After one step the first moment is a tenth of the gradient.
  np.testing.assert_allclose(
    adam.mu["dense"]["kernel"], [[0.03, 0.04]], rtol=1e-5
  )
  np.testing.assert_allclose(adam.mu["dense"]["bias"], [0.12, 0.0], rtol=1e-5)


def test_what_is_off_leaves_no_trace_in_a_checkpoint():
  plain = training.optimiser(config_lib.TrainConfig()).init(_WEIGHTS)
  both = training.optimiser(
    config_lib.TrainConfig(
      clip_norm=1.0, weight_decay=0.1, decay_names="kernel"
    )
  ).init(_WEIGHTS)
  assert jax.tree.structure(plain) != jax.tree.structure(both)
  old = optax.chain(
    optax.adaptive_grad_clip(0.3), optax.adam(lambda _: 0.1, b2=0.99)
  ).init(_WEIGHTS)
  assert jax.tree.structure(plain) == jax.tree.structure(old)


@pytest.mark.parametrize("preset", _OURS)
def test_the_models_decay_kernels_and_tables_alone(preset):
  cfg = presets.make(preset)
  params = jax.eval_shape(
    functools.partial(world_model.init, cfg.world_model),
    _KEY,
    fakes.table(cfg.world_model.tile_vocab),
  )
  weights = {k: v for k, v in params.items() if k not in training.FROZEN}
  mask = training.decayed(cfg.train, weights)
  for path, is_decayed in jax.tree_util.tree_leaves_with_path(mask):
    name, owed = path[-1].key, ("to_values", "to_changes")
    assert name in (*config_lib.PARAMETER_NAMES, *owed), path
    assert is_decayed == (name in ("kernel", "table", *owed)), path


def test_the_same_update_twice_gives_the_same_bits():
  chex.assert_trees_all_equal(_train(_state(), 3), _train(_state(), 3))


def test_an_interrupted_run_repeats_every_bit():
  whole = _train(_state(), 6)
  half, _ = _train(_state(), 3)
  stored = jax.tree.map(np.asarray, half)  # as a checkpoint holds it
  assert int(stored.step) == 3
  rest = _train(jax.tree.map(jnp.asarray, stored), 3)
  chex.assert_trees_all_equal(whole, rest)


def test_each_update_draws_anew():
  state = _state()
  later = state.replace(step=state.step + 1)
  one, two = (_update(s, _batch(), _KEY)[1] for s in (state, later))
  assert one["loss/image"] != two["loss/image"]
  three = _update(state, _batch(), jax.random.key(1))[1]
  assert one["loss/image"] != three["loss/image"]


def test_the_dictionary_is_never_trained():
  before = _state()
  after, metrics = _train(before, 3)
  chex.assert_trees_all_equal(before.params["tiles"], after.params["tiles"])
  assert jax.tree.structure(before) == jax.tree.structure(after)
  assert not any(
    leaf.dtype == jnp.uint32 for leaf in jax.tree.leaves(after.opt_state)
  )
  assert int(after.step) == 3
  # Everything else moved (heads start at zero, the chain too).
  for name in set(before.params) - set(training.FROZEN):
    moved = jax.tree.map(
      lambda a, b: bool((a != b).any()), before.params[name], after.params[name]
    )
    assert any(jax.tree.leaves(moved)), name
  for name, value in metrics.items():
    assert value.shape == (), name
    assert np.isfinite(value), name
  rate = training.learning_rate(_CONFIG.train)(2)
  assert metrics["optimiser/learning_rate"] == rate


@pytest.mark.parametrize("preset", _OURS)
@pytest.mark.parametrize("game", ["its own", "pokemon red"])
def test_the_parameters_of_every_preset_stay_below_200_megabytes(preset, game):
  overrides = []
  if game == "pokemon red":
    heads = [
      world_model_config.POKEMON_RED_RAM_HEADS,
      world_model_config.POKEMON_RED_PLACE_HEADS,
    ]
    overrides = [
      f"world_model.tokens={world_model_config.POKEMON_RED_TOKENS}",
      f"world_model.ram_heads={' '.join(heads)}",
    ]
  cfg = presets.make(preset, overrides).world_model
  params = jax.eval_shape(
    functools.partial(world_model.init, cfg), _KEY, fakes.table(cfg.tile_vocab)
  )
  stored = sum(
    leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params)
  )
  assert stored < 200e6
  # What is stored is what training starts from, not a smaller copy.
  floats = {
    leaf.dtype
    for leaf in jax.tree.leaves(params)
    if not jnp.issubdtype(leaf.dtype, jnp.integer)
  }
  assert floats == {jnp.dtype("float32")}


@pytest.mark.parametrize("preset", ["vale_gpu", "v3"])
def test_larger_presets_burn_in(preset):
  assert presets.make(preset).train.burn_in == 8


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_the_update_lowers_for_an_accelerator(preset):
  cfg = presets.make(preset)
  shape = (cfg.train.batch_size, cfg.train.seq_len)
  batch = jax.eval_shape(lambda: fakes.on_device(fakes.windows(*shape)))
  table = jax.eval_shape(lambda: fakes.table(cfg.world_model.tile_vocab))
  state = jax.eval_shape(
    lambda key, table: training.init_state(
      cfg.train, world_model.init(cfg.world_model, key, table)
    ),
    _KEY,
    table,
  )
  update = jax.jit(training.make_update(cfg))
  lowered = update.trace(state, batch, _KEY).lower(lowering_platforms=("tpu",))
  assert "stablehlo" in lowered.as_text()


def test_a_short_window_decodes_no_more_rows_than_it_has():
  train = dataclasses.replace(_CONFIG.train, decode_rows=1000, burn_in=5)
  update = training.make_update(dataclasses.replace(_CONFIG, train=train))
  state, metrics = jax.eval_shape(update, _state(), _batch(), _KEY)
  assert jax.tree.structure(state) == jax.tree.structure(_state())
  assert metrics["loss/image"].shape == ()


@pytest.mark.parametrize(("decode_rows", "expected"), [(0, 12), (5, 5)])
def test_no_number_of_rows_to_decode_means_all(
  monkeypatch, decode_rows, expected
):
  cfg = fakes.config(
    *("train.batch_size=3", "train.seq_len=6", "train.burn_in=2"),
    f"train.decode_rows={decode_rows}",
  )
  decoded = []

  def score(cfg, table, outputs, packed):
    decoded.append((len(outputs), len(packed)))
    return jnp.zeros(len(packed)), jnp.zeros(len(packed), bool)

  monkeypatch.setattr(codecs, "score", score)
  state = fakes.state_shapes(cfg)
  batch = jax.eval_shape(lambda: fakes.on_device(fakes.windows(3, 6)))
  jax.eval_shape(training.make_update(cfg), state, batch, _KEY)
  assert decoded == [(expected, expected)]


def test_one_batch_is_learned_until_its_frames_are_exact():
  state, batch = _state(), _batch()
  first = None
  for _ in range(_CONFIG.train.steps):
    state, metrics = _update(state, batch, _KEY)
    first = first or float(metrics["loss/total"])
  assert float(metrics["loss/total"]) < 0.1 * first
  assert float(metrics["posterior/exact_frames"]) == 1.0
  seen = _observe(state.params, jax.random.key(5), batch)
  shown = world_model.decode(_CONFIG.world_model, state.params, seen)
  # Latents drawn with another key: nearly all frames are exact again.
  right = np.all(np.asarray(shown == batch["frame"]), axis=(-2, -1))
  assert right.mean() > 0.8
