"""The published training loss, for world models of family v2.

Mean squared error of the frames, KL with balance, mean squared error of the
weighted reward and cross-entropy of the continue flag, all with weight 1 as
published (`kl_scale` changes that of the KL). The first row of a window counts
in the KL as any other.
"""

import functools

import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import image_loss
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from pokedreamer_jax.world_model import parts as parts_lib


def temperature(
  cfg: world_model_config.WorldModelConfig, step: jax.Array | int
) -> jax.Array:
  """Of the Gumbel-softmax while it is in use, at an update; float32 scalar."""
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
  burn_in: int = 0,
  spread: image_loss.SpreadFn = lambda windows: windows,
) -> tuple[jax.Array, tuple[losses.Metrics, world_model.Params]]:
  """The loss of one update; mixes streams, in BatchNorm and in means.

  BatchNorm takes the statistics of all `B * T` frames encoded, and of all
  `B * (T - burn_in)` decoded: unlike in family v3, that is always every row.

  Args:
    cfg: sizes, balance and temperatures.
    params: parameters and running averages.
    key: typed PRNG key; consumed.
    batch: fields `[B, T, ...]` and `first_action_tm1` `[B]`.
    step: updates done before, for the temperature.
    burn_in: first rows of each window that carry no loss.
    spread: keeps the windows to decode shared out over devices
      (`mesh.spread`); BatchNorm takes the statistics of all of them.

  Returns:
    Scalar loss; scalar metrics and the new running averages.
  """
  rgb = packing.to_rgb(jnp.asarray(batch["frame"]))
  embed, encoder_stats = world_model_v2.apply_training(
    cfg, params, "encoder", rgb
  )
  draw, sampling_metrics = _draw(cfg, step)
  seen = world_model.observe(cfg, params, key, batch, draw=draw, embed=embed)
  batch, seen = losses.after_burn_in(batch, seen, burn_in)
  feat = world_model.features(seen.state)

  feat, target = spread((feat, rgb[:, burn_in:]))
  shown, decoder_stats = world_model_v2.apply_training(
    cfg, params, "decoder", feat
  )
  total, metrics = _loss(cfg, params, batch, seen, shown, target)
  metrics |= sampling_metrics
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
  target = packing.to_rgb(jnp.asarray(batch["frame"]))
  return _loss(cfg, params, batch, seen, shown, target)[1]


def _draw(cfg, step):
  """How an update draws latents, and the temperature where one is in use."""
  stochastic = world_model_v2.cell(cfg).sample_stochastic
  plain: world_model.DrawFn = sampling.straight_through
  if cfg.annealed == "most_likely":
    plain = functools.partial(stochastic, most_likely=True)
  if cfg.temperature_start == 0.0:
    return plain, {}
  now = temperature(cfg, step)
  gumbel = functools.partial(stochastic, temperature=now)
  if cfg.annealed == "gumbel":
    return gumbel, {"sampling/temperature": now}
  over = jnp.asarray(step) >= cfg.temperature_steps

  def draw(key, log_probs):  # one of the two is used, so the key is used once
    return jnp.where(over, plain(key, log_probs), gumbel(key, log_probs))

  return draw, {"sampling/temperature": jnp.where(over, 0.0, now)}


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
  reward = parts_lib.apply(cfg, params, "reward", feat)
  logit = parts_lib.apply(cfg, params, "continue", feat)
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
