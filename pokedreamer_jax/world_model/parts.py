"""The Linen modules of a world model, and how they are applied."""

from typing import Any

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import atlas_reader
from pokedreamer_jax.networks import codecs
from pokedreamer_jax.networks import heads
from pokedreamer_jax.networks import rssm
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import reward_heads

Params = dict[str, Any]


def modules(cfg: world_model_config.WorldModelConfig) -> dict[str, Any]:
  """The Linen modules of a configuration, by their name in the parameters."""
  if cfg.family == "v2":
    return world_model_v2.modules(cfg)
  parts = {
    "encoder": codecs.make_encoder(cfg),
    "rssm": rssm.RSSMCell(
      deter=cfg.deter,
      stoch=cfg.stoch,
      classes=cfg.classes,
      hidden=cfg.hidden,
      token_dim=cfg.token_dim,
      unimix=cfg.unimix,
      around=_surroundings(cfg) if cfg.reads_around else None,
      token_scores=sum(change_counts(cfg)),
    ),
    "decoder": codecs.make_decoder(cfg),
    "reward": heads.RewardPredictor(
      cfg.hidden, reward_heads.NUM_OUTPUTS, cfg.token_dim
    ),
    "continue": heads.ContinuePredictor(cfg.hidden, cfg.token_dim),
  }
  if cfg.token_sizes:
    parts["chain"] = rssm.TokenChain(
      tuple(cfg.token_sizes.values()),
      packed=cfg.packed_chain,
      changes=change_counts(cfg) if cfg.chain_changes else (),
    )
  if cfg.ram_head_sizes:
    outputs = sum(cfg.ram_head_sizes.values())
    parts["ram"] = heads.RamPredictor(cfg.hidden, outputs, cfg.token_dim)
  return parts


def apply(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  name: str,
  *args,
  **kwargs,
):
  """Applies the module called `name`; `method=` as in Linen.

  The one place of `compute_dtype`: parameters and inputs are rounded to it
  here, and outputs come back as float32. So the recurrent state is rounded
  once a step, as in DreamerV3.
  """
  module, weights = modules(cfg)[name], params[name]
  if cfg.compute_dtype == "float32":
    return module.apply({"params": weights}, *args, **kwargs)
  weights, args = _rounded((weights, args), jnp.dtype(cfg.compute_dtype))
  outputs = module.apply({"params": weights}, *args, **kwargs)
  return _rounded(outputs, jnp.float32)


def change_counts(cfg: world_model_config.WorldModelConfig) -> tuple[int, ...]:
  """How many changes of each token have a score; none if there are none."""
  if not cfg.relative_tokens or not cfg.token_sizes:
    return ()
  return relative_tokens.counts(cfg)


def _rounded(tree: Any, dtype: Any) -> Any:
  """`tree` with its floating leaves as `dtype`."""
  return jax.tree.map(
    lambda leaf: (
      leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
    ),
    tree,
  )


def _surroundings(cfg) -> atlas_reader.Surroundings:
  return atlas_reader.Surroundings(
    cfg.tile_vocab,
    cfg.atlas_cells,
    cfg.atlas_units,
    cfg.tile_units,
    cfg.hidden,
  )
