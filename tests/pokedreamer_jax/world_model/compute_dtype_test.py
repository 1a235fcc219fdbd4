"""bfloat16 inside the networks, float32 everywhere else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)
_PIXELS = (
  "world_model.encoder=pixels",
  "world_model.decoder=pixels",
  "world_model.ram_heads=xp:17 dex_owned:5",
)
_LOW = "world_model.compute_dtype=bfloat16"


def _floats(tree):
  return [
    leaf.dtype
    for leaf in jax.tree.leaves(tree)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  ]


@pytest.mark.parametrize("codec", [(), _PIXELS])
def test_only_the_networks_calculate_in_bfloat16(codec):
  config = fakes.config(_LOW, *codec)
  cfg = config.world_model
  params = jax.eval_shape(
    functools.partial(world_model.init, cfg), _KEY, fakes.table(cfg.tile_vocab)
  )
  batch = jax.eval_shape(lambda: fakes.on_device(fakes.windows(2, 4)))
  seen = jax.eval_shape(
    functools.partial(world_model.observe, cfg), params, _KEY, batch
  )
  state = jax.eval_shape(
    functools.partial(training.init_state, config.train), params
  )
  after = jax.eval_shape(training.make_update(config), state, batch, _KEY)
  start = jax.eval_shape(lambda: world_model.initial_state(cfg, (3,)))
  dream = jax.eval_shape(
    functools.partial(imagination.prior_step, cfg),
    params,
    _KEY,
    start,
    jax.ShapeDtypeStruct((3,), jnp.int32),
  )
  for tree in (params, seen, state, after, dream):
    assert set(_floats(tree)) == {jnp.dtype(jnp.float32)}
  feat = jax.ShapeDtypeStruct((3, cfg.feat_dim), jnp.float32)
  for name in ("decoder", "reward", "continue"):
    outputs = jax.eval_shape(
      lambda params, feat, name=name: parts.apply(cfg, params, name, feat),
      params,
      feat,
    )
    assert outputs.dtype == jnp.float32


def _dot_dtypes(config):
  """Of the operands of every matrix product of networks in one update.

  Samples add probabilities up by a product with a triangle, in full precision.
  """
  cfg = config.world_model
  params = fakes.params(cfg)
  state = training.init_state(config.train, params)
  batch = fakes.on_device(fakes.windows(2, 4))
  jaxpr = jax.make_jaxpr(training.make_update(config))(state, batch, _KEY)
  found = set()

  def walk(jaxpr):
    for equation in jaxpr.eqns:
      if equation.primitive.name == "dot_general":
        if equation.invars[1].aval.shape != (cfg.classes, cfg.classes):
          found.update(str(v.aval.dtype) for v in equation.invars)
      for value in jax.tree.leaves(
        list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
      ):
        inner = getattr(value, "jaxpr", value)
        if hasattr(inner, "eqns"):
          walk(inner)

  walk(jaxpr.jaxpr)
  return found


def test_matrix_products_are_those_of_the_configured_type():
  assert _dot_dtypes(fakes.config(_LOW)) == {"bfloat16"}
  assert _dot_dtypes(fakes.config()) == {"float32"}


def test_losses_are_close_to_those_in_float32():
  batch = fakes.on_device(fakes.windows(4, 8))

  def metrics(*overrides):
    cfg = fakes.config(*_PIXELS, *overrides).world_model
    params = fakes.params(fakes.config(*_PIXELS).world_model, noise=0.1)
    run = fakes.jit(
      functools.partial(losses.world_model_loss, cfg), static_argnums=3
    )
    return run(params, _KEY, batch, 32)[1]

  low, full = metrics(_LOW), metrics()
  for name in ("image", "reward", "cont", "ram", "tokens", "infer", "kl"):
    a, b = float(low[f"loss/{name}"]), float(full[f"loss/{name}"])
    np.testing.assert_allclose(a, b, rtol=0.05, err_msg=name)
    assert a != b, name  # otherwise nothing was rounded
