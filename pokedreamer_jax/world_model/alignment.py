"""Which action a row's step takes, and which one leads on from a row.

The one place of the shift by one between the records, where a row holds the
action chosen after its frame, and the model. `B` streams, `T` rows, `A`
actions.
"""

from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config

AnyArray = TypeVar("AnyArray", jax.Array, np.ndarray)


def previous_actions(
  batch: Mapping[str, jax.Array], alignment: str = "previous"
) -> jax.Array:
  """One-hot `[B, T, A]` of the actions that the rows' steps take.

  The action of `t - 1`, zeros where `is_first`; under the published alignment
  that of `t` itself, which was chosen after the frame, in every row.

  Args:
    batch: `action` `[B, T]`, `first_action_tm1` `[B]` (the action before the
      window), `is_first` `[B, T]`.
    alignment: as in `WorldModelConfig.action_alignment`.
  """
  if alignment == "published":
    return jax.nn.one_hot(batch["action"], specs.NUM_ACTIONS)
  first = batch["first_action_tm1"][:, None]
  action_tm1 = jnp.concatenate([first, batch["action"][:, :-1]], axis=1)
  hot = jax.nn.one_hot(action_tm1, specs.NUM_ACTIONS)
  return jnp.where(batch["is_first"][..., None], 0.0, hot)


def dream_shift(cfg: world_model_config.WorldModelConfig) -> int:
  """Rows from a state to the action that leads to the next one.

  0: a dream from row `t` begins with the action of row `t`. 1, under the
  published alignment: the state of row `t` knows that action already, though
  its effect only shows in row `t + 1`, and the step to `t + 1` takes the
  action of `t + 1`, whose effect shows in row `t + 2`.
  """
  return 1 if cfg.action_alignment == "published" else 0


def dream_actions(
  cfg: world_model_config.WorldModelConfig, action: AnyArray
) -> AnyArray:
  """Actions `[..., T - 1]` that lead from each of `T` rows to the next.

  Args:
    cfg: gives the alignment.
    action: `[..., T]` of recorded rows.
  """
  return action[..., 1:] if dream_shift(cfg) else action[..., :-1]
