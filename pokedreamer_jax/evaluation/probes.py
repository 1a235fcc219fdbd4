"""What a state knows of story and inventory: probes on frozen features.

A linear probe and one with a hidden layer guess a memory variable from parts of
the features, trained on states of training rows and measured on held-out ones,
beside the most frequent class. So what only the tokens carry shows apart from
what the recurrent and the categorical state keep. `N` rows, `F` features.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pokedreamer_jax.evaluation import tables
from pokedreamer_jax.world_model import model as world_model

TARGETS = ("event_flags", "capture_items", "money", "badges", "dex_owned")
# Which leaves of the state each probe sees.
PARTS = {
  "all": ("deter", "stoch", "tokens"),
  "without tokens": ("deter", "stoch"),
  "deter": ("deter",),
  "stoch": ("stoch",),
  "tokens": ("tokens",),
}
KINDS = {"linear": 0, "hidden layer": 128}  # and its units
MOST_CLASSES = 48  # of more values, bins of equal numbers of training rows
_BINS = 16
_BATCH_ROWS = 256
_UPDATES = 400
_LEARNING_RATE = 3e-3


def measure(
  key: jax.Array,
  training: world_model.State,
  training_rows: Mapping[str, np.ndarray],
  held_out: world_model.State,
  held_out_rows: Mapping[str, np.ndarray],
  groups: np.ndarray,
  resamples: int,
) -> dict[str, Any]:
  """Trains the probes and says how often they are right.

  Args:
    key: typed PRNG key; consumed.
    training: states of training rows, leaves `[N, ...]`.
    training_rows: `TARGETS` `[N]` of the same rows.
    held_out: states of held-out rows, leaves `[M, ...]`.
    held_out_rows: `TARGETS` `[M]`.
    groups: `[M]`, the episode of each held-out row.
    resamples: bootstrap draws.

  Returns:
    JSON-ready: `training_rows`, `rows`, and `targets[name]` with the number of
    `classes`, how often the most frequent one of training is right
    (`majority`), and `probes[kind][part]` for `KINDS` and `PARTS`.
  """
  classes = {name: _classes(training_rows[name]) for name in TARGETS}
  wanted, truth = (
    np.stack([_numbers(classes[n], rows[n]) for n in TARGETS], axis=-1)
    for rows in (training_rows, held_out_rows)
  )
  sizes = tuple(len(classes[name]) for name in TARGETS)
  x, y, place = _features(training, held_out)
  right: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in KINDS}
  for part, leaves in PARTS.items():
    seen = np.isin(place, leaves)
    if not seen.any():
      continue  # a model without tokens
    mask = jnp.asarray(seen, jnp.float32)
    for kind, units in KINDS.items():
      key, fit_key = jax.random.split(key)
      guess = _probe_fn(units, sizes)(fit_key, x, wanted, y, mask)
      right[kind][part] = np.asarray(guess) == truth
  most = [np.bincount(column).argmax() for column in wanted.T]

  def share(hits: np.ndarray) -> dict[str, Any]:
    return tables.interval(hits.astype(float), groups, resamples)

  return {
    "training_rows": len(wanted),
    "rows": len(truth),
    "targets": {
      name: {
        "classes": sizes[i],
        "majority": share(truth[:, i] == most[i]),
        "probes": {
          kind: {part: share(hits[:, i]) for part, hits in parts.items()}
          for kind, parts in right.items()
        },
      }
      for i, name in enumerate(TARGETS)
    },
  }


def _classes(values: np.ndarray) -> np.ndarray:
  """Lower ends of the classes, ascending: every value, or bins of many."""
  found = np.unique(np.asarray(values, np.int64))
  if len(found) <= MOST_CLASSES:
    return found
  shares = np.arange(_BINS) / _BINS
  return np.unique(np.quantile(values, shares, method="lower").astype(np.int64))


def _numbers(classes: np.ndarray, values: np.ndarray) -> np.ndarray:
  """The class `[N]` of each value; what lies below the first is in the first.

  A value that training lacks counts as the next lower one.
  """
  number = np.searchsorted(classes, np.asarray(values, np.int64), "right") - 1
  return np.maximum(number, 0)


def _features(training, held_out) -> tuple[jax.Array, jax.Array, np.ndarray]:
  """Features `[N, F]` and `[M, F]` of unit spread, and the leaf of each."""
  names = ("deter", "stoch", "tokens")
  both = [
    np.concatenate([getattr(state, name) for name in names], axis=-1)
    for state in (training, held_out)
  ]
  mean, spread = both[0].mean(axis=0), both[0].std(axis=0)
  scale = np.where(spread > 1e-3, 1.0 / np.maximum(spread, 1e-3), 0.0)
  x, y = (jnp.asarray((part - mean) * scale, jnp.float32) for part in both)
  widths = [getattr(training, name).shape[-1] for name in names]
  return x, y, np.repeat(names, widths)


@functools.lru_cache(maxsize=4)
def _probe_fn(units: int, sizes: Sequence[int]):
  """Builds `(key, x, wanted [N, M], y, mask [F]) -> guesses`, of all targets.

  The targets share the hidden layer, and nothing where there is none.
  """
  ends = np.cumsum(sizes)[:-1].tolist()
  tx = optax.adam(_LEARNING_RATE)

  def outputs(weights, x):
    if units:
      hidden = x @ weights["in"] + weights["in_bias"][None]
      x = jax.nn.silu(hidden)
    return jnp.split(x @ weights["out"] + weights["bias"][None], ends, axis=-1)

  def nats(weights, x, wanted):
    total = jnp.zeros(())
    for i, logits in enumerate(outputs(weights, x)):
      each = optax.softmax_cross_entropy_with_integer_labels(
        logits, wanted[:, i]
      )
      total += each.mean()
    return total

  def run(key, x, wanted, y, mask):
    init_key, rows_key = jax.random.split(key)
    width = x.shape[-1]
    weights = {
      "out": jnp.zeros((units or width, sum(sizes))),
      "bias": jnp.zeros(sum(sizes)),
    }
    if units:
      spread = jax.random.normal(init_key, (width, units))
      weights["in"] = spread / jnp.sqrt(mask.sum())
      weights["in_bias"] = jnp.zeros(units)

    def update(carry, step_key):
      weights, opt_state = carry
      at = jax.random.randint(step_key, (_BATCH_ROWS,), 0, len(x))
      grads = jax.grad(nats)(weights, x[at] * mask[None], wanted[at])
      updates, opt_state = tx.update(grads, opt_state)
      return (optax.apply_updates(weights, updates), opt_state), None

    keys = jax.random.split(rows_key, _UPDATES)
    (weights, _), _ = jax.lax.scan(update, (weights, tx.init(weights)), keys)
    logits = outputs(weights, y * mask[None])
    return jnp.stack([jnp.argmax(part, axis=-1) for part in logits], axis=-1)

  return jax.jit(run)
