"""Dreams of the world model, started where recorded episodes were."""

from typing import Any

import jax

from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import ppo
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import reward_heads


def make_dream_fn(cfg: config_lib.Config) -> ppo.DreamFn:
  """Makes the `DreamFn` of a world model.

  Its `world` is the model's parameters and its `starts` are `Latents` `[M]`
  that a dream may start from (`latents.start_rows` of
  `latents.with_earned`), on the device:
  `cfg.policy.starts` of them are drawn, each row as likely as any other.
  """

  def dream_fn(
    world: Any, key: jax.Array, starts: Any, policy_fn: ppo.PolicyFn
  ) -> imagination.Rollout:
    start_key, dream_key = jax.random.split(key)
    count = len(starts.action)
    index = jax.random.randint(start_key, (cfg.policy.starts,), 0, count)
    rows = latents.take(starts, index)
    return imagination.imagine(
      cfg.world_model,
      world,
      dream_key,
      latents.unpack(cfg.world_model, rows),
      reward_heads.visited_flags(rows.visited_maps),
      policy_fn,
      cfg.policy.horizon,
      earned=rows.reward_terms,
    )

  return dream_fn
