"""What the device does for an evaluation, in parts that measurements share.

Windows pass it in batches of one size, through a few jitted parts, so that
each compiles once. `W` windows, `H` rows of each.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts as parts_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens

_BATCH = 50  # windows on the device at a time


def has_places(cfg: world_model_config.WorldModelConfig) -> bool:
  """Whether the tokens say where the player is."""
  return {"map", "y", "x"} <= set(cfg.token_sizes)


def places_of(
  cfg: world_model_config.WorldModelConfig, hot: jax.Array
) -> jax.Array:
  """Places `[..., 3]` int32 (map, y, x) of tokens `[..., R]`; 0 without."""
  names = list(cfg.token_sizes)
  if not has_places(cfg):
    return jnp.zeros((*hot.shape[:-1], 3), jnp.int32)
  numbers = tokens.numbers(cfg.token_sizes, hot)
  return jnp.stack(
    [numbers[..., names.index(name)] for name in ("map", "y", "x")], axis=-1
  )


def each_batch(
  cfg: world_model_config.WorldModelConfig,
  run: Callable,
  params: Any,
  key: jax.Array,
  inputs: Any,
) -> Any:
  """Runs `_BATCH` rows of the leading axis at a time; the last is padded."""
  count = len(jax.tree.leaves(inputs)[0])
  size = _BATCH
  if cfg.family == "v2":  # its frames are dear: no more padding than needed
    size = min(size, count)
  parts = []
  for start in range(0, count, size):
    index = np.minimum(np.arange(start, start + size), count - 1)
    batch = jax.tree.map(
      lambda leaf, index=index: jnp.asarray(leaf[index]), inputs
    )
    key, batch_key = jax.random.split(key)
    made = run(params, batch_key, batch)
    keep = min(size, count - start)
    parts.append(
      jax.tree.map(lambda leaf, keep=keep: np.asarray(leaf)[:keep], made)
    )
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def select(states: Any, row: Any) -> Any:
  """One row of each leaf `[W, T, ...]`, or those that a slice or list names."""
  return jax.tree.map(lambda leaf: leaf[:, row], states)


def observe(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  batch: world_model.Batch,
  infer: bool,
  start: world_model.State | None = None,
) -> tuple[world_model.State, np.ndarray, np.ndarray]:
  """States, guessed tokens and KL of a batch, on the host."""
  if start is None:
    start = world_model.initial_state(cfg, batch["first_action_tm1"].shape)
  # On the host, where taking rows compiles nothing.
  return jax.device_get(_observe_fn(cfg, infer)(params, key, batch, start))


def dream(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  start: world_model.State,
  action: jax.Array,
  most_likely: bool,
  rows: Sequence[int] | None,
) -> tuple[np.ndarray, jax.Array]:
  """Frames of some rows and places of all, from `start` under `[N, H]`."""
  states = _replay_fn(cfg, most_likely)(params, key, start, action)
  return look(cfg, params, states, rows)


def step_ahead(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  states: world_model.State,
  action: jax.Array,
  most_likely: bool = False,
) -> world_model.State:
  """Each of the states `[W, H, ...]` one imagined step on, under `[W, H]`."""
  return _step_fn(cfg, most_likely)(params, key, states, action)


def step_told(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  states: world_model.State,
  action: jax.Array,
  hot: jax.Array,
) -> world_model.State:
  """One step on under `[W, H]`, with tokens `[W, H, R]` told, not imagined.

  The latents are the most likely ones.
  """
  return _told_fn(cfg)(params, states, action, hot)


def judge(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  states: world_model.State,
) -> tuple[np.ndarray, np.ndarray]:
  """What the heads say of states `[W, H, ...]`.

  Returns:
    The probability `[W, H, 8]` that each reward term is above 0, and that
    `[W, H]` that the world goes on.
  """
  run = lambda params, key, states: _judge_fn(cfg)(params, states)
  return each_batch(cfg, run, params, jax.random.key(0), states)


def look(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  states: world_model.State,
  rows: Sequence[int] | None,
) -> tuple[np.ndarray, jax.Array]:
  """Frames of some rows of `states` (None: of all), and places of all."""
  return frames(cfg, params, states, rows), _places_fn(cfg)(states.tokens)


def frames(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  states: world_model.State,
  rows: Sequence[int] | None,
) -> np.ndarray:
  """Decoded frames `[W, H, 144, 40]` of some rows of `states`, or of all."""
  # One row at a time: logits of a whole dream would not fit a laptop.
  states = jax.device_get(states)
  if rows is None:
    rows = range(states.deter.shape[1])
  made = [_decode_fn(cfg)(params, select(states, row)) for row in rows]
  return np.stack([np.asarray(frame) for frame in made], axis=1)


@functools.lru_cache(maxsize=8)
def _observe_fn(cfg, infer):
  def run(params, key, batch, start):
    seen = world_model.observe(cfg, params, key, batch, start, infer)
    kl = world_model.divergence(seen.post, seen.prior)
    guessed = seen.state.tokens if infer else seen.infer_logits
    guess = tokens.numbers(cfg.token_sizes, guessed)
    return seen.state, guess, kl

  return jax.jit(run)


@functools.lru_cache(maxsize=8)
def _replay_fn(cfg, most_likely):
  def run(params, key, start, action):
    states = imagination.replay_actions(
      cfg, params, key, start, action.T, most_likely
    )
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), states)

  return jax.jit(run)


@functools.lru_cache(maxsize=4)
def _step_fn(cfg, most_likely):
  def run(params, key, state, action):
    lead = action.shape
    # Sizes in full: without tokens a leaf is empty, and -1 cannot be inferred.
    rows = (lead[0] * lead[1],)
    flat = jax.tree.map(lambda leaf: leaf.reshape(rows + leaf.shape[2:]), state)
    flat = imagination.prior_step(
      cfg, params, key, flat, action.reshape(-1), most_likely
    )
    return jax.tree.map(lambda leaf: leaf.reshape(lead + leaf.shape[1:]), flat)

  return jax.jit(run)


@functools.lru_cache(maxsize=4)
def _decode_fn(cfg):
  return jax.jit(functools.partial(world_model.decode, cfg))


@functools.lru_cache(maxsize=4)
def _told_fn(cfg):
  def run(params, state, action, hot):
    hot_action = jax.nn.one_hot(action, specs.NUM_ACTIONS)
    known = world_model.project_known(cfg, params, state.tokens, hot_action)
    cell = functools.partial(parts_lib.apply, cfg, params, "rssm")
    deter = cell(state.deter, state.stoch, known, method="step")
    prior = cell(deter, hot, method="prior")
    stoch = sampling.one_hot_draw(jax.random.key(0), prior, True)
    stoch = stoch.reshape(*deter.shape[:-1], cfg.stoch_dim)
    return world_model.State(deter=deter, stoch=stoch, tokens=hot)

  return jax.jit(run)


@functools.lru_cache(maxsize=4)
def _judge_fn(cfg):
  def run(params, states):
    feat = world_model.features(states)
    outputs = parts_lib.apply(cfg, params, "reward", feat)
    logit = parts_lib.apply(cfg, params, "continue", feat)
    return reward_heads.event_probabilities(outputs), jax.nn.sigmoid(logit)

  return jax.jit(run)


@functools.lru_cache(maxsize=4)
def _places_fn(cfg):
  return jax.jit(functools.partial(places_of, cfg))
