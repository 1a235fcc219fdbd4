"""What `collect_data --policy=sb3=PATH` plays: a frozen PPO policy."""

from collections.abc import Callable
import re
from typing import Any

from pokedreamer_jax import config as config_lib

PREFIX = "sb3="
ENVS_PER_WORKER = 4  # the network runs on all of them at once

_FORM = re.compile(
  r"sb3=(?P<path>.+?)(:eps=(?P<eps>[0-9.eE+-]+))?(?P<most>:deterministic)?"
)


def prepare(
  config: config_lib.CollectConfig,
  seed: int,
  rom: Any,
  save_state: bytes | None,
) -> tuple[Any, Callable[[int], Any]]:
  """Reads the policy that `config.policy_mix` names.

  Args:
    config: `policy_mix` is `sb3=PATH[:eps=probability][:deterministic]`.
    seed: of the collection.
    rom: a `data_tools.roms.Rom`.
    save_state: where episodes start; None is power-on.

  Returns:
    A `lockstep.Collection`, and what makes the policy for some streams.

  Raises:
    ValueError: malformed, or no policy that can be read.
  """
  from data_tools import lockstep
  from data_tools import sb3_policy

  match = _FORM.fullmatch(config.policy_mix)
  try:
    eps = float(match["eps"] or 0) if match else -1.0
  except ValueError:
    eps = -1.0
  if match is None or not 0 <= eps <= 1:
    raise ValueError(
      f"policy {config.policy_mix!r}: expected "
      "sb3=PATH[:eps=probability][:deterministic]; it plays alone, without a "
      "share"
    )
  weights = sb3_policy.read(match["path"])
  collection = lockstep.Collection(
    policy=f"sb3:{weights.sha256[:12]}",
    seed=seed,
    rom=rom,
    episode_length=config.episode_length,
    jitter_frames=config.jitter_frames,
    eps=eps,
    deterministic=match["most"] is not None,
    save_state=save_state,
  )
  return collection, lambda count: sb3_policy.Player(weights, count)
