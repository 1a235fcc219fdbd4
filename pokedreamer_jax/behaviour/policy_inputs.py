"""What actor and critic read: features, what was reached, and a goal.

`[..., F + P + O + G]`: the world model's features come first, so that who looks
for a token finds it where it always stands; the goal comes last, so that
networks find it (`networks/actor_critic.py`). What is not read takes no place.
"""

import jax
import jax.numpy as jnp

from pokedreamer_jax.behaviour import goal_offsets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import tokens


def size(cfg: config_lib.Config) -> int:
  """Length `F + P + O + G` of what a policy of a configuration reads.

  Raises:
    ValueError: offsets are to be read, and no tokens tell the place.
  """
  goal = cfg.actor_critic.goal_dim if cfg.actor_critic.reads_goal else 0
  return cfg.world_model.feat_dim + _extra(cfg) + goal


def read(
  cfg: config_lib.Config,
  state: world_model.State,
  progress: progress_lib.Progress,
  goal: jax.Array | None = None,
) -> jax.Array:
  """Inputs `[..., F + P + O + G]` of states and progress, leaves `[..., ...]`.

  Args:
    cfg: what is read.
    state: of the world model.
    progress: what the episode has reached.
    goal: vectors `[..., G]` of `goal_embeddings`, whose leading axes broadcast
      against the states'; None is no goal. Where goals are not read it counts
      for nothing.
  """
  sizes = cfg.world_model.token_sizes
  read = [world_model.features(state)]
  if cfg.actor_critic.reads_progress:
    read.append(progress_lib.features(sizes, state.tokens, progress))
  if cfg.actor_critic.reads_offset:
    read.append(goal_offsets.features(sizes, state.tokens, goal))
  if cfg.actor_critic.reads_goal:
    shape = (*read[0].shape[:-1], cfg.actor_critic.goal_dim)
    none = jnp.zeros(shape, read[0].dtype)
    read.append(none if goal is None else jnp.broadcast_to(goal, shape))
  return jnp.concatenate(read, axis=-1) if read[1:] else read[0]


def fights(cfg: config_lib.Config, inputs: jax.Array) -> jax.Array:
  """Whether inputs `[..., F + P + O + G]` are of a battle, `[...]` bool.

  The blackout after a lost one is a part of it.
  """
  model = cfg.world_model
  place = tokens.slices(model.token_sizes)["battle"]
  hot = inputs[..., model.deter + model.stoch_dim :][..., place]
  return jnp.argmax(hot, axis=-1) > 0


def _extra(cfg: config_lib.Config) -> int:
  sizes, total = cfg.world_model.token_sizes, 0
  if cfg.actor_critic.reads_progress:
    total += progress_lib.num_features(sizes)
  if cfg.actor_critic.reads_offset:
    offsets = goal_offsets.num_features(sizes)
    if not offsets:
      raise ValueError(
        "actor_critic.reads_offset: True, the state lacks one of the tokens "
        f"{', '.join(goal_offsets.NEEDS)}, expected False"
      )
    total += offsets
  return total
