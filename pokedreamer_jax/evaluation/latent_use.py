"""Whether the stochastic state is used: `s` is exchanged between episodes.

A model may carry everything in `deter` and tokens and ignore its categorical
latents. So `s` of the posterior is taken from a window of another episode; what
is decoded from it, and dreamed on from it, must then clearly be worse.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import references
from pokedreamer_jax.evaluation import scores
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import alignment
from pokedreamer_jax.world_model import model as world_model

_METRICS = ("pixels", "exact", "tiles")


def latent_use(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  groups: np.ndarray,
  resamples: int,
  infer: bool = False,
) -> dict[str, Any]:
  """Accuracy with the own `s` and with that of another episode.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    windows: held-out windows `[W, context + horizon, ...]`.
    context: observed rows of a dream.
    groups: `[W]`, the episode of each window.
    resamples: bootstrap draws.
    infer: guess the tokens of observed rows from frames.

  Returns:
    JSON-ready: `kl` nats of the posterior from the prior, `posterior` with
    `own`, `other` and the paired `loss` of each metric over the reported rows,
    and `dream[step]` with the same for the open loop.
  """
  observe_key, dream_key = jax.random.split(key)
  steps = dreams.reported_steps(windows["action"].shape[1] - context)
  rows = [context + k - 1 for k in steps]
  seen = dreams.observed(
    cfg, params, observe_key, windows, [context - 1, *rows], infer
  )
  partner = references.others(groups)
  swapped = world_model.State(
    seen.state.deter, seen.state.stoch[partner], seen.state.tokens
  )
  truth = windows["frame"][:, rows]
  places = scores.recorded_places(windows)[:, rows]
  looks: list[dict[str, np.ndarray]] = []
  dreamed: list[dict[str, np.ndarray]] = []
  for state in (seen.state, swapped):
    later = jax.tree.map(lambda leaf: leaf[:, 1:], state)
    frame = dreams.decode(cfg, params, later)
    looks.append(scores.frame_scores(frame, truth))
    start = jax.tree.map(lambda leaf: leaf[:, 0], state)
    # The same key: chance alone makes no difference.
    ahead = alignment.dream_actions(cfg, windows["action"][:, context - 1 :])
    dream = dreams.dream_from(cfg, params, dream_key, start, ahead, steps)
    found = scores.frame_scores(dream.frame, truth)
    if dream.place is not None:
      found |= scores.place_scores(dream.place, places)
    dreamed.append(found)
  kl = tables.interval(seen.kl[:, 1:].astype(np.float64), groups, resamples)
  return {
    "kl": kl,
    "posterior": _losses(looks, groups, resamples),
    "dream": {
      str(k): _losses(
        [{m: v[:, i] for m, v in found.items()} for found in dreamed],
        groups,
        resamples,
      )
      for i, k in enumerate(steps)
    },
  }


def _losses(pair, groups, resamples) -> dict[str, Any]:
  """Means with own and other latents, and what the exchange costs, paired."""
  own, other = pair
  found = {}
  for metric in _METRICS:
    if metric in own:
      # Positive means that the exchange makes it worse.
      sign = -1.0 if metric in tables.LOWER_IS_BETTER else 1.0
      cost = sign * (own[metric] - other[metric])
      found[metric] = {
        "own": tables.interval(own[metric], groups, resamples),
        "other": tables.interval(other[metric], groups, resamples),
        "loss": tables.interval(cost, groups, resamples),
      }
  return found
