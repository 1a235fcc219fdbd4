"""Train state, optimiser and update step of the world model."""

from collections.abc import Callable
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import image_loss
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import losses_v2
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2

# Parameters that no gradient moves: data, and running averages.
FROZEN = ("tiles", "atlas", world_model_v2.BATCH_STATS)


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

  With weight decay it is AdamW. A bound on the whole gradient's norm comes
  after the adaptive one, which has then tamed single layers: one of them alone
  does not shrink the step of all. What is off is no part of the chain, so that
  checkpoints do not depend on what was added since.
  """
  chain = [optax.adaptive_grad_clip(cfg.agc)] if cfg.agc else []
  if cfg.clip_norm:
    chain.append(optax.clip_by_global_norm(cfg.clip_norm))
  if cfg.weight_decay:
    chain.append(
      optax.adamw(
        learning_rate(cfg),
        b1=0.9,
        b2=cfg.adam_b2,
        weight_decay=cfg.weight_decay,
        mask=functools.partial(decayed, cfg),
      )
    )
  else:
    chain.append(optax.adam(learning_rate(cfg), b1=0.9, b2=cfg.adam_b2))
  return optax.chain(*chain)


def decayed(cfg: config_lib.TrainConfig, weights: world_model.Params) -> Any:
  """Whether weight decay acts on each parameter: by its own, last name.

  What changes owe in the chain between tokens is a kernel, too.
  """
  kind = {"to_values": "kernel", "to_changes": "kernel"}
  return jax.tree_util.tree_map_with_path(
    lambda path, _: kind.get(path[-1].key, path[-1].key) in cfg.decay_name_set,
    weights,
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
  spread: image_loss.SpreadFn = lambda rows: rows,
  gather: Callable[[Any], Any] = lambda weights: weights,
) -> Callable[
  [TrainState, world_model.Batch, jax.Array],
  tuple[TrainState, losses.Metrics],
]:
  """Builds `(state, batch, run_key) -> (state, metrics)`, not jitted.

  The step counter is folded into the run key, so that a resumed run repeats.
  `spread` and `gather` are for training over several devices: see `mesh.py`.
  """
  tx = optimiser(cfg.train)

  def update(state, batch, run_key):
    key = jax.random.fold_in(run_key, state.step)
    weights, frozen = _split(state.params)

    def loss_fn(weights):
      params = gather(weights | frozen)
      return _loss(cfg, params, key, batch, state.step, spread)

    grads, (metrics, moved) = jax.grad(loss_fn, has_aux=True)(weights)
    updates, opt_state = tx.update(grads, state.opt_state, weights)
    metrics["grad/norm"] = optax.tree.norm(grads)
    metrics["optimiser/learning_rate"] = learning_rate(cfg.train)(state.step)
    weights = optax.apply_updates(weights, updates)
    metrics["param/norm"] = optax.tree.norm(weights)
    params = weights | frozen | moved
    return TrainState(params, opt_state, state.step + 1), metrics

  return update


def make_validation(
  cfg: config_lib.Config,
) -> Callable[[world_model.Params, world_model.Batch], losses.Metrics]:
  """Builds `(params, held-out batch) -> metrics`, not jitted."""

  def validate(params, batch):
    if cfg.world_model.family == "v2":
      return losses_v2.validation_loss(cfg.world_model, params, batch)
    return losses.validation_loss(
      cfg.world_model, params, batch, cfg.train.burn_in
    )

  return validate


def _loss(cfg, params, key, batch, step, spread):
  """Loss, metrics, and those of the `FROZEN` parameters that it moves."""
  shared = (cfg.world_model, params, key, batch)
  burn_in = cfg.train.burn_in
  if cfg.world_model.family == "v2":
    total, (metrics, stats) = losses_v2.world_model_loss(
      *shared, step, burn_in, spread
    )
    return total, (metrics, {world_model_v2.BATCH_STATS: stats})
  rows = cfg.train.batch_size * (cfg.train.seq_len - burn_in)
  decode_rows = min(cfg.train.decode_rows or rows, rows)
  total, metrics = losses.world_model_loss(
    *shared,
    decode_rows,
    burn_in,
    spread=spread,
    hide=cfg.world_model.atlas_hidden,
    decode_blocks=cfg.train.decode_blocks if cfg.world_model.has_atlas else 0,
    error_share=cfg.train.error_share if cfg.world_model.token_sizes else 0.0,
  )
  return total, (metrics, {})


def _split(params):
  frozen = {name: params[name] for name in FROZEN if name in params}
  return {k: v for k, v in params.items() if k not in FROZEN}, frozen
