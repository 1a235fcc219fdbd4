"""What actor and critic read: features, and what the episode has reached.

`[..., F + P]`: the world model's features come first, so that who looks for a
token finds it where it always stands.
"""

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib


def size(cfg: config_lib.Config) -> int:
  """Length `F + P` of what a policy of a configuration reads."""
  return cfg.world_model.feat_dim + _extra(cfg)


def read(
  cfg: config_lib.Config,
  state: world_model.State,
  progress: progress_lib.Progress,
) -> jax.Array:
  """Inputs `[..., F + P]` of states and progress with leaves `[..., ...]`."""
  feat = world_model.features(state)
  if not _extra(cfg):
    return feat
  reached = progress_lib.features(
    cfg.world_model.token_sizes, state.tokens, progress
  )
  return jnp.concatenate([feat, reached], axis=-1)


def _extra(cfg: config_lib.Config) -> int:
  if not cfg.actor_critic.reads_progress:
    return 0
  return progress_lib.num_features(cfg.world_model.token_sizes)
