"""What tokens a step expects, before its frame is seen.

Shape letters: `R` concatenated one-hot tokens, `C` scores of their changes.
Tokens of a step are predicted from `deter` by value and, with
`relative_tokens`, by change; what each owes to those before it, the chain, is
added where those are known. Dreams draw them one after the other
(`table_step.py`), training is told all of them.
"""

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import rssm
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import relative_tokens


def chain_matrix(
  cfg: world_model_config.WorldModelConfig, params: parts.Params
) -> jax.Array:
  """What each token owes to those before it, `[R, R]` (see `rssm.causal`).

  With `cfg.chain_changes` `[R + C, R + C]`. In float32, whatever the networks
  calculate in: dreams add its rows, where training multiplies in that type.
  """
  counts = parts.change_counts(cfg) if cfg.chain_changes else ()
  return rssm.causal(params["chain"], tuple(cfg.token_sizes.values()), counts)


def logits(
  cfg: world_model_config.WorldModelConfig,
  params: parts.Params,
  deter: jax.Array,
  tokens_tm1: jax.Array,
  numbers_tm1: jax.Array | None = None,
) -> jax.Array:
  """Logits `[..., R]` of every token, before their chain terms.

  Args:
    cfg: sizes.
    params: parameters.
    deter: `[..., D]` of the step.
    tokens_tm1: of the last state, one-hot `[..., R]`; zeros where it is first.
    numbers_tm1: their numbers `[..., M]`, for who knows them.
  """
  values, scores = outputs(cfg, params, deter)
  return _at_last(cfg, values, scores, tokens_tm1, numbers_tm1)


def outputs(
  cfg: world_model_config.WorldModelConfig,
  params: parts.Params,
  deter: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Logits `[..., R]` of values and scores `[..., C]` of changes, apart."""
  if not cfg.token_sizes:
    nothing = jnp.zeros((*deter.shape[:-1], 0))
    return nothing, nothing
  found = parts.apply(cfg, params, "rssm", deter, method="predict_tokens")
  values, scores = jnp.split(found, [cfg.token_dim], axis=-1)
  return values, scores


def told_logits(
  cfg: world_model_config.WorldModelConfig,
  params: parts.Params,
  deter: jax.Array,
  tokens_tm1: jax.Array,
  told: jax.Array,
) -> jax.Array:
  """Logits `[..., R]` of every token, those before it being told.

  Args:
    cfg: sizes.
    params: parameters.
    deter: `[..., D]` of the step.
    tokens_tm1: as in `logits`.
    told: the step's tokens, one-hot `[..., R]`.
  """
  values, scores = outputs(cfg, params, deter)
  if cfg.token_sizes:
    inputs = chain_inputs(cfg, tokens_tm1, told)
    terms = parts.apply(cfg, params, "chain", inputs)
    values += terms[..., : cfg.token_dim]
    if cfg.chain_changes:
      scores += terms[..., cfg.token_dim :]
  return _at_last(cfg, values, scores, tokens_tm1)


def chain_inputs(
  cfg: world_model_config.WorldModelConfig,
  tokens_tm1: jax.Array,
  told: jax.Array,
) -> jax.Array:
  """What the chain reads of told tokens, `[..., R]` or `[..., R + C]`."""
  if not cfg.chain_changes or not cfg.token_sizes:
    return told
  changed = relative_tokens.hot(cfg, tokens_tm1, told)
  return jnp.concatenate([told, changed], axis=-1)


def _at_last(cfg, values, scores, tokens_tm1, numbers_tm1=None):
  """`values`, the scores of changes added where they lead to."""
  if not cfg.relative_tokens or not cfg.token_sizes:
    return values
  return relative_tokens.add(cfg, values, scores, tokens_tm1, numbers_tm1)
