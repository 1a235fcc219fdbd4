"""Precision and recall of the heads that judge a dream, term by term.

A policy in a dream is paid by what reward and continue heads say, so a badge
that they miss, or see where there is none, teaches it the wrong thing. Looked
at where the model has seen the frame, and where it has imagined the row.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens

SEEN, AHEAD, PAID = "posterior", "one step ahead", "as dreams pay"
END = "end"  # of the world, beside the names of reward terms
THRESHOLD = 0.5  # of a probability; counts that tokens tell are whole
# The terms that a dream reads from tokens, and the token of each.
_FROM_TOKENS = {"badges": "badges", "species": "dex_owned", "new_maps": "map"}


def measure(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  seen: world_model.State,
  ahead: world_model.State,
  windows: Mapping[str, np.ndarray],
  context: int,
  groups: np.ndarray,
  resamples: int,
) -> dict[str, Any]:
  """Compares what heads say of rows with what was recorded.

  An event is a term above 0, said where its probability is `THRESHOLD` or more;
  `end` is a terminal row. First rows of an episode do not count.

  Args:
    cfg: sizes.
    params: parameters.
    seen: posterior states `[W, H, ...]` of the rows after the context.
    ahead: the same rows imagined one step ahead.
    windows: recorded rows `[W, context + H, ...]`, `visited_maps` too.
    context: rows before the first one that counts.
    groups: `[W]`, the episode of each window.
    resamples: bootstrap draws.

  Returns:
    JSON-ready: `rows`, and `terms[name]` with the number of `events` and for
    each way of looking how often one is `said`, with `precision` and `recall`;
    `as dreams pay` is there for terms that a dream reads from tokens.
  """
  cfg.check_reward_terms()
  terms = windows["reward_terms"][:, context:]
  true = {name: terms[..., i] > 0 for i, name in enumerate(specs.REWARD_TERMS)}
  true[END] = windows["is_terminal"][:, context:].astype(bool)
  counts = ~windows["is_first"][:, context:].astype(bool)
  said: dict[str, dict[str, np.ndarray]] = {}
  for line, states in ((SEEN, seen), (AHEAD, ahead)):
    likely, cont = device.judge(cfg, params, states)
    said[line] = _events(likely) | {END: 1.0 - cont >= THRESHOLD}
  said[PAID] = _paid(cfg, ahead, windows, context)
  return {
    "rows": int(counts.sum()),
    "terms": {
      name: {
        "events": int((events & counts).sum()),
        **{
          line: _rates(names[name], events, counts, groups, resamples)
          for line, names in said.items()
          if name in names
        },
      }
      for name, events in true.items()
    },
  }


def _rates(said, true, counts, groups, resamples) -> dict[str, Any]:
  both = (said & true).astype(float)
  return {
    "said": int((said & counts).sum()),
    "precision": tables.interval(both, groups, resamples, said & counts),
    "recall": tables.interval(both, groups, resamples, true & counts),
  }


def _events(terms: np.ndarray) -> dict[str, np.ndarray]:
  return {
    name: terms[..., i] >= THRESHOLD
    for i, name in enumerate(specs.REWARD_TERMS)
  }


def _paid(cfg, ahead, windows, context) -> dict[str, np.ndarray]:
  """Events as tokens of the imagined rows tell them from the rows before."""
  sizes = cfg.token_sizes
  if not sizes:
    return {}
  rows = {
    name: windows[name][:, context - 1 : -1]
    for name in (*(f.name for f in specs.RAM_FIELDS), "visited_maps")
  }
  rows |= {name: rows[field] for name, field in tokens.DERIVED.items()}
  last = tokens.one_hot(sizes, tokens.read(sizes, rows))  # no text is paid
  seen = progress_lib.visited_flags(jnp.asarray(rows["visited_maps"]))
  seen |= progress_lib.here_flags(sizes, last)
  before = progress_lib.recorded(sizes, last, seen)
  hot = jnp.asarray(ahead.tokens)
  after = progress_lib.advance(sizes, hot, before)
  nothing = jnp.zeros((*hot.shape[:-1], specs.NUM_REWARD_TERMS))
  terms = reward_heads.from_tokens(sizes, nothing, before, after)
  found = _events(np.asarray(terms))
  return {
    name: found[name] for name, token in _FROM_TOKENS.items() if token in sizes
  }
