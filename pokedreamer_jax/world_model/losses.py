"""The world model's training loss."""

import chex
import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import image_loss
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import own_tokens
from pokedreamer_jax.world_model import parts as parts_lib
from pokedreamer_jax.world_model import ram_heads
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens as tokens_lib

Metrics = dict[str, jax.Array]


def world_model_loss(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  batch: world_model.Batch,
  decode_rows: int,
  burn_in: int = 0,
  draw: world_model.DrawFn = sampling.straight_through,
  spread: image_loss.SpreadFn = lambda rows: rows,
  hide: float = 0.0,
  decode_blocks: int = 0,
  error_share: float = 0.0,
) -> tuple[jax.Array, Metrics]:
  """Mean nats per row of everything the model predicts.

  image + tokens + KL (balanced, with free nats; DreamerV3 eq. 3 to 5) + reward
  terms + continue + RAM heads. Only `decode_rows` random rows are decoded: the
  decoder is the dearest part, and the other rows still train the dynamics.

  Args:
    cfg: sizes and loss weights.
    params: parameters.
    key: typed PRNG key; consumed.
    batch: fields `[B, T, ...]` and `first_action_tm1` `[B]`.
    decode_rows: rows decoded, at most `B * (T - burn_in)`.
    burn_in: first rows of each window that carry no loss.
    draw: how latents are drawn from the posterior.
    spread: shares the rows to decode out over devices (`mesh.spread`). They
      come from anywhere in the batch, so that every device would decode all.
    hide: share of the atlas' cells that decoder and steps do not see.
    decode_blocks: see `image_loss`.
    error_share: share of the windows in which steps read the model's own tokens
      (`own_tokens.py`); targets stay the recorded ones. Takes tokens.

  Returns:
    Scalar loss and scalar metrics.
  """
  observe_key, rows_key = jax.random.split(key)
  embed = world_model.embed_frames(cfg, params, batch["frame"])
  tokens_tm1 = None
  if error_share:
    observe_key, own_key = jax.random.split(observe_key)
    tokens_tm1 = own_tokens.tokens_tm1(
      cfg, params, own_key, batch, embed, error_share, draw
    )
  seen = world_model.observe(
    *(cfg, params, observe_key, batch),
    draw=draw,
    embed=embed,
    hide=hide,
    tokens_tm1=tokens_tm1,
  )
  batch, seen = after_burn_in(batch, seen, burn_in)
  feat = world_model.features(seen.state)
  lead = batch["is_first"].shape

  image, exact = image_loss.image_loss(
    *(cfg, params, rows_key, batch, feat),
    *(decode_rows, decode_blocks, spread, hide),
  )
  per_token = tokens_lib.cross_entropy(
    cfg.token_sizes, seen.token_logits, seen.state.tokens
  )
  guessed = tokens_lib.cross_entropy(
    cfg.token_sizes, seen.infer_logits, seen.state.tokens
  )
  stop = jax.lax.stop_gradient
  dyn = world_model.divergence(stop(seen.post), seen.prior)
  rep = world_model.divergence(seen.post, stop(seen.prior))
  reward = reward_heads.loss(
    parts_lib.apply(cfg, params, "reward", feat), batch["reward_terms"]
  )
  cont_logit = parts_lib.apply(cfg, params, "continue", feat)
  cont = -jnp.where(
    batch["is_terminal"],
    jax.nn.log_sigmoid(-cont_logit),
    jax.nn.log_sigmoid(cont_logit),
  )
  # What an episode or a window begins with is not predicted from anything.
  begins = batch["is_first"]
  if burn_in == 0:
    begins = begins.at[:, 0].set(True)
  follows = 1.0 - begins.astype(jnp.float32)
  zeros = jnp.zeros(lead)
  parts = {
    "tokens": (cfg.token_scale, follows * sum(per_token.values(), zeros)),
    "infer": (cfg.infer_scale, sum(guessed.values(), zeros)),
    "dyn": (cfg.dyn_scale, follows * jnp.maximum(dyn, cfg.free_nats)),
    "rep": (cfg.rep_scale, follows * jnp.maximum(rep, cfg.free_nats)),
    "reward": (cfg.reward_scale, reward),
    "cont": (cfg.cont_scale, cont),
  }
  chex.assert_shape([value for _, value in parts.values()], lead)
  total = cfg.image_scale * image
  total += sum(scale * jnp.mean(value) for scale, value in parts.values())
  metrics = {f"loss/{name}": jnp.mean(v) for name, (_, v) in parts.items()}
  metrics |= {
    f"token/{name}": jnp.mean(follows * value)
    for name, value in per_token.items()
  }
  if cfg.ram_head_sizes:
    nats, ram_metrics = _ram_loss(cfg, params, batch, feat)
    total += cfg.ram_scale * nats
    metrics |= ram_metrics
  metrics |= {
    "loss/total": total,
    "loss/image": image,
    "loss/kl": jnp.mean(follows * dyn),
    ("copies/right" if decode_blocks else "posterior/exact_frames"): exact,
  }
  return total, metrics


def validation_loss(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  batch: world_model.Batch,
  burn_in: int = 0,
) -> Metrics:
  """The metrics of `world_model_loss`, without chance.

  Latents are the most likely ones and every row is decoded: pass few rows.

  Args:
    cfg: sizes and loss weights.
    params: parameters.
    batch: held-out windows `[B, T, ...]` and `first_action_tm1` `[B]`.
    burn_in: first rows of each window that carry no loss.

  Returns:
    Scalar metrics.
  """
  windows, rows = batch["is_first"].shape
  return world_model_loss(
    cfg,
    params,
    jax.random.key(0),  # nothing is drawn but the order of the rows
    batch,
    windows * (rows - burn_in),
    burn_in,
    draw=lambda _, log_probs: sampling.most_likely_straight_through(log_probs),
  )[1]


def after_burn_in(
  batch: world_model.Batch, seen: world_model.Posterior, burn_in: int
) -> tuple[world_model.Batch, world_model.Posterior]:
  """The rows of windows `[B, T, ...]` that carry a loss."""
  batch = {
    name: jnp.asarray(value)[:, burn_in:] if value.ndim > 1 else value
    for name, value in batch.items()
  }
  return batch, jax.tree.map(lambda leaf: leaf[:, burn_in:], seen)


def _ram_loss(cfg, params, batch, feat):
  """Mean nats a row over all RAM heads, and how well each of them reads."""
  if not cfg.ram_heads_gradient:
    feat = jax.lax.stop_gradient(feat)
  sizes = cfg.ram_head_sizes
  outputs = parts_lib.apply(cfg, params, "ram", feat)
  nats = ram_heads.cross_entropy(sizes, outputs, batch)
  errors = ram_heads.errors(sizes, outputs, batch)
  metrics = {f"ram/{name}": jnp.mean(value) for name, value in nats.items()}
  total = sum(metrics.values(), jnp.zeros(()))
  metrics |= {f"ram_error/{name}": jnp.mean(v) for name, v in errors.items()}
  return total, metrics | {"loss/ram": total}
