"""Train state, optimiser and update step of the world model."""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax

from pokedreamer_jax import config as config_lib
from pokedreamer_jax import losses
from pokedreamer_jax import losses_v2
from pokedreamer_jax import world_model
from pokedreamer_jax import world_model_v2

# Parameters that no gradient moves: data, and running averages.
FROZEN = ("tiles", world_model_v2.BATCH_STATS)


@flax.struct.dataclass
class TrainState:
  """Everything that an update reads and writes."""

  params: world_model.Params
  opt_state: optax.OptState
  step: jax.Array  # [] int32, updates done


def learning_rate(cfg: config_lib.TrainConfig) -> optax.Schedule:
  """Linear warm-up, constant, then linear decay to zero.

  The warm-up of a short run ends where its decay begins.
  """
  decay = max(int(cfg.steps * cfg.decay_share), 1)
  warmup = min(cfg.warmup_steps, cfg.steps - decay)
  return optax.join_schedules(
    [
      optax.linear_schedule(0.0, cfg.learning_rate, warmup),
      optax.constant_schedule(cfg.learning_rate),
      optax.linear_schedule(cfg.learning_rate, 0.0, decay),
    ],
    [warmup, cfg.steps - decay],
  )


def optimiser(cfg: config_lib.TrainConfig) -> optax.GradientTransformation:
  """Adam with adaptive gradient clipping (Brock et al. 2021).

  With `max_grad_norm` all gradients are scaled to that norm at most instead.
  """
  clip = optax.adaptive_grad_clip(cfg.agc)
  if cfg.max_grad_norm > 0.0:
    clip = optax.clip_by_global_norm(cfg.max_grad_norm)
  return optax.chain(
    clip,
    optax.adam(learning_rate(cfg), b1=0.9, b2=cfg.adam_b2),
  )


def init_state(
  cfg: config_lib.TrainConfig, params: world_model.Params
) -> TrainState:
  """A train state before the first update."""
  weights, _ = _split(params)
  return TrainState(
    params=params,
    opt_state=optimiser(cfg).init(weights),
    step=jnp.zeros((), jnp.int32),
  )


def make_update(
  cfg: config_lib.Config,
) -> Callable[
  [TrainState, world_model.Batch, jax.Array],
  tuple[TrainState, losses.Metrics],
]:
  """Builds `(state, batch, run_key) -> (state, metrics)`, not jitted.

  The step counter is folded into the run key, so that a resumed run repeats.
  """
  tx = optimiser(cfg.train)

  def update(state, batch, run_key):
    key = jax.random.fold_in(run_key, state.step)
    weights, frozen = _split(state.params)

    def loss_fn(weights):
      return _loss(cfg, weights | frozen, key, batch, state.step)

    grads, (metrics, moved) = jax.grad(loss_fn, has_aux=True)(weights)
    updates, opt_state = tx.update(grads, state.opt_state, weights)
    metrics["grad/norm"] = optax.tree.norm(grads)
    metrics["optimiser/learning_rate"] = learning_rate(cfg.train)(state.step)
    weights = optax.apply_updates(weights, updates)
    metrics["param/norm"] = optax.tree.norm(weights)
    params = weights | frozen | moved
    return TrainState(params, opt_state, state.step + 1), metrics

  return update


def _loss(cfg, params, key, batch, step):
  """Loss, metrics, and those of the `FROZEN` parameters that it moves."""
  rows = cfg.train.batch_size * (cfg.train.seq_len - cfg.train.burn_in)
  shared = (cfg.world_model, params, key, batch)
  settings = (min(cfg.train.decode_rows, rows), cfg.train.burn_in)
  if cfg.world_model.family == "v2":
    total, (metrics, stats) = losses_v2.world_model_loss(
      *shared, step, *settings
    )
    return total, (metrics, {world_model_v2.BATCH_STATS: stats})
  total, metrics = losses.world_model_loss(*shared, *settings)
  return total, (metrics, {})


def _split(params):
  frozen = {name: params[name] for name in FROZEN if name in params}
  return {k: v for k, v in params.items() if k not in FROZEN}, frozen
