"""Which token a sampled step gets wrong first.

A dream draws the tokens of a step one after the other. Told the recorded tokens
before it, each has a probability `p_m` of being drawn as recorded; so token `m`
is the first that goes wrong with `p_1 ... p_{m-1} (1 - p_m)`, and all are right
with the product. Nothing is drawn for this: it says what dreams lose, and to
which token, with less noise than dreams do. Where chance decides, a right model
is wrong as well; rows in which no luck changes anything show what is not known.
"""

from collections.abc import Mapping
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens


def measure(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  groups: np.ndarray,
  resamples: int,
  infer: bool = False,
  calm: np.ndarray | None = None,
) -> dict[str, Any]:
  """Shares of rows by the token that is drawn wrongly first.

  Args:
    cfg: sizes; takes tokens.
    params: parameters.
    key: typed PRNG key; consumed.
    windows: held-out windows `[W, context + H, ...]`.
    context: observed rows before the first that counts.
    groups: `[W]`, the episode of each window.
    resamples: bootstrap draws.
    infer: guess the tokens of observed rows from frames.
    calm: `[W, H]` bool, rows up to which no luck changed anything.

  Returns:
    JSON-ready: `all`, and `calm` with that mask: `rows`, `right` (all tokens
    drawn as recorded), `likeliest_right` (of all the likeliest value), and
    `first_wrong` by token, the worst first; each a mean with its interval.
  """
  log_p, likeliest = _looked_at(cfg, params, key, windows, infer)
  log_p, likeliest = log_p[:, context:], likeliest[:, context:]
  told = np.exp(np.cumsum(log_p, axis=-1, dtype=np.float64))
  before = np.concatenate([np.ones_like(told[..., :1]), told[..., :-1]], -1)
  parts = {"all": np.ones(log_p.shape[:2], bool)}
  if calm is not None:
    parts["calm"] = calm
  mean = functools.partial(tables.interval, groups=groups, resamples=resamples)

  def part(mask: np.ndarray) -> dict[str, Any]:
    shares = {
      name: mean(before[..., m] - told[..., m], mask=mask)
      for m, name in enumerate(cfg.token_sizes)
    }
    worst = sorted(shares, key=lambda name: -shares[name].get("mean", 0.0))
    return {
      "rows": int(mask.sum()),
      "right": mean(told[..., -1], mask=mask),
      "likeliest_right": mean(
        likeliest.all(axis=-1).astype(np.float64), mask=mask
      ),
      "first_wrong": {name: shares[name] for name in worst},
    }

  return {name: part(mask) for name, mask in parts.items()}


def up_to(calm: np.ndarray, steps: list[int], horizon: int) -> np.ndarray:
  """Rows `[W, H]` bool that come no later than a reported step that is calm.

  Args:
    calm: `[W, S]` bool, whether no luck changed anything up to each step.
    steps: the reported ones, ascending, from 1.
    horizon: rows `H`.
  """
  last = np.max(np.where(calm, np.array(steps)[None], 0), axis=1)
  return np.arange(1, horizon + 1)[None] <= last[:, None]


def _looked_at(cfg, params, key, windows, infer):
  """Log-probability of each recorded token, and whether it is the likeliest.

  Both `[W, T, M]`, the tokens before it told.
  """
  run = _tokens_fn(cfg, infer)
  return device.each_batch(cfg, run, params, key, dict(windows))


@functools.lru_cache(maxsize=4)
def _tokens_fn(cfg, infer):
  sizes = cfg.token_sizes

  def run(params, key, batch):
    seen = world_model.observe(cfg, params, key, batch, infer=infer)
    recorded = world_model.read_tokens(cfg, params, batch)
    nats = tokens.cross_entropy(sizes, seen.token_logits, recorded)
    likeliest = tokens.numbers(sizes, seen.token_logits)
    right = likeliest == tokens.numbers(sizes, recorded)
    return -jnp.stack(list(nats.values()), axis=-1), right

  return jax.jit(run)
