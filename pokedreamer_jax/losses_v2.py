"""The published training loss, for world models of family v2.

Mean squared error of the frames, KL with balance, mean squared error of the
weighted reward and cross-entropy of the continue flag, all with weight 1 as
published (`kl_scale` changes that of the KL). The first row of a window counts
in the KL as any other.
"""

import functools

import jax
import jax.numpy as jnp

from pokedreamer_jax import frames
from pokedreamer_jax import losses
from pokedreamer_jax import sampling
from pokedreamer_jax import specs
from pokedreamer_jax import world_model
from pokedreamer_jax import world_model_config
from pokedreamer_jax import world_model_v2


def temperature(
  cfg: world_model_config.WorldModelConfig, step: jax.Array | int
) -> jax.Array:
  """Of the Gumbel-softmax at an update, float32 scalar."""
  passed = jnp.asarray(step, jnp.float32) / max(cfg.temperature_steps, 1)
  share = jnp.clip(passed, 0.0, 1.0)
  span = cfg.temperature_end - cfg.temperature_start
  return cfg.temperature_start + share * span


def world_model_loss(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  batch: world_model.Batch,
  step: jax.Array | int,
  decode_rows: int,
  burn_in: int = 0,
) -> tuple[jax.Array, tuple[losses.Metrics, world_model.Params]]:
  """The loss of one update; mixes streams, in BatchNorm and in means.

  BatchNorm takes the statistics of all `B * T` frames encoded, and of all
  rows decoded.

  Args:
    cfg: sizes, balance and temperatures.
    params: parameters and running averages.
    key: typed PRNG key; consumed.
    batch: fields `[B, T, ...]` and `first_action_tm1` `[B]`.
    step: updates done before, for the temperature.
    decode_rows: rows decoded, drawn at random where it is not all of them.
    burn_in: first rows of each window that carry no loss.

  Returns:
    Scalar loss; scalar metrics and the new running averages.
  """
  observe_key, rows_key = jax.random.split(key)
  rgb = frames.to_rgb(jnp.asarray(batch["frame"]))
  embed, encoder_stats = world_model_v2.apply_training(
    cfg, params, "encoder", rgb
  )
  temperature_now = temperature(cfg, step)
  draw = sampling.straight_through
  if cfg.temperature_start > 0.0:
    draw = functools.partial(
      world_model_v2.cell(cfg).sample_stochastic, temperature=temperature_now
    )
  seen = world_model.observe(
    cfg, params, observe_key, batch, draw=draw, embed=embed
  )
  batch, seen = losses.after_burn_in(batch, seen, burn_in)
  feat = world_model.features(seen.state)

  rows = batch["is_first"].size
  chosen = jnp.arange(rows)
  if decode_rows < rows:
    chosen = jax.random.permutation(rows_key, rows)[:decode_rows]
  shown, decoder_stats = world_model_v2.apply_training(
    cfg, params, "decoder", feat.reshape(rows, -1)[chosen]
  )
  target = rgb[:, burn_in:].reshape(rows, *rgb.shape[2:])[chosen]
  total, metrics = _loss(cfg, params, batch, seen, shown, target)
  metrics["sampling/temperature"] = temperature_now
  stats = {"encoder": encoder_stats, "decoder": decoder_stats}
  return total, (metrics, stats)


def validation_loss(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  batch: world_model.Batch,
) -> losses.Metrics:
  """The same loss by running averages and the most likely latents.

  Everything is decoded at once: pass few rows.

  Args:
    cfg: sizes and balance.
    params: parameters and running averages.
    batch: held-out windows `[B, T, ...]` and `first_action_tm1` `[B]`.

  Returns:
    Scalar metrics.
  """
  seen = world_model.observe(
    cfg,
    params,
    jax.random.key(0),  # nothing is drawn
    batch,
    draw=functools.partial(
      world_model_v2.cell(cfg).sample_stochastic, most_likely=True
    ),
  )
  shown = world_model_v2.decode_rgb(
    cfg, params, world_model.features(seen.state)
  )
  target = frames.to_rgb(jnp.asarray(batch["frame"]))
  return _loss(cfg, params, batch, seen, shown, target)[1]


def _loss(cfg, params, batch, seen, shown, target):
  """Loss and metrics of a posterior and of decoded frames `[..., H, W, 3]`."""
  feat = world_model.features(seen.state)
  stop = jax.lax.stop_gradient
  # The balance decides gradients; the value is that of the KL itself.
  balanced = cfg.kl_alpha * world_model.divergence(stop(seen.post), seen.prior)
  balanced += (1.0 - cfg.kl_alpha) * world_model.divergence(
    seen.post, stop(seen.prior)
  )
  weights = jnp.asarray(specs.REWARD_WEIGHTS["published"], jnp.float32)
  reward = world_model.apply(cfg, params, "reward", feat)
  logit = world_model.apply(cfg, params, "continue", feat)
  parts = {
    "image": jnp.mean(jnp.square(shown - target)),
    "kl": jnp.mean(balanced),
    "reward": jnp.mean(jnp.square(reward - batch["reward_terms"] @ weights)),
    "cont": -jnp.mean(
      jax.nn.log_sigmoid(jnp.where(batch["is_terminal"], -logit, logit))
    ),
  }
  weighted = {**parts, "kl": cfg.kl_scale * parts["kl"]}
  total = jnp.sum(jnp.stack(list(weighted.values())))
  metrics = {f"loss/{name}": value for name, value in parts.items()}
  flat = target.reshape(-1, *target.shape[-3:])
  metrics |= {
    "loss/total": total,
    # What the best single picture for all these frames would leave.
    "image/constant": jnp.mean(jnp.var(flat, axis=0)),
  }
  return total, metrics
