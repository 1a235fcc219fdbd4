"""Changes in the chain between tokens, against loops over tokens."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import table_step
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_N = 40


def _config(names, *more):
  return fakes.config(
    f"world_model.tokens={names}",
    *("world_model.relative_tokens=true", "world_model.packed_chain=true"),
    *("world_model.chain_changes=true", *more),
  ).world_model


_CFG = _config("battle:4 map:8 y:9 x:9 hp:30 enemy_hp:12 figure_look:62")
# With more changes of one token than any has values.
_FEW = _config("battle:4 map:8 y:12 x:12 enemy_hp:16 badges:4")
# With a clock that is set as well, by the last five of its changes.
_SET = _config(
  "battle:4 map:8 tile_look:168 badges:4", "world_model.clock_sets=true"
)
_each = pytest.mark.parametrize(
  "cfg", [_CFG, _FEW, _SET], ids=["clock", "few", "set"]
)


@functools.cache
def _example(cfg):
  """Parameters, deter, tokens before and after, of which row 0 is first."""
  params, sizes = fakes.params(cfg, 0.3), cfg.token_sizes
  rng = np.random.default_rng(0)
  deter = rng.normal(size=(_N, cfg.deter)).astype(np.float32)
  last = np.stack([rng.integers(0, n, _N) for n in sizes.values()], -1)
  # Half of the tokens change by little, so that there are scores of it.
  near = last + rng.integers(-2, 3, last.shape)
  near = np.clip(near, 0, np.array(list(sizes.values())) - 1)
  far = np.stack([rng.integers(0, n, _N) for n in sizes.values()], -1)
  now = np.where(rng.random(last.shape) < 0.7, near, far)
  if "tile_look" in sizes:  # some are set to their last phase
    at = list(sizes).index("tile_look")
    waited = (last[::3, at] + rng.integers(-2, 3, len(last[::3]))) % 21
    now[::3, at] = 7 * 21 + waited
  return params, deter, last, now


def _hot(cfg, last):
  hot = np.array(tokens.one_hot(cfg.token_sizes, jnp.asarray(last)))
  hot[0] = 0.0  # before the first step
  return hot


def _change(name, last, now):
  """Which of its changes a token's is, None where it has no score."""
  low, high = _SPANS[name]
  steps = [now - last]
  if name == "figure_look":
    steps = [now - last + 62 * turn for turn in (-1, 0, 1)]
  if name == "tile_look":
    steps = [now - last + 168 * turn for turn in (-1, 0, 1)]
    if not any(low <= step <= high for step in steps) and now >= 7 * 21:
      waited = [(now - last + 21 * turn) for turn in range(-8, 9)]
      steps = [high + 3 + by for by in waited if -2 <= by <= 2]
      high += 5
  found = [step - low for step in steps if low <= step <= high]
  return found[0] if found else None


_SPANS = {
  name: span
  for cfg in (_CFG, _FEW, _SET)
  for name, span in relative_tokens.changes(cfg).items()
}
_LENGTHS = {
  name: high - low + 1 + 5 * (name == "tile_look")
  for name, (low, high) in _SPANS.items()
}


class _Chain:
  """The packed weights, read by loops."""

  def __init__(self, cfg, params, deter):
    self._sizes = cfg.token_sizes
    outputs = token_prior.outputs(cfg, params, jnp.asarray(deter))
    self._logits, self._scores = (np.array(part) for part in outputs)
    weights = {k: np.array(v) for k, v in params["chain"].items()}
    self._terms, at = {}, {"kernel": 0, "to_values": 0, "to_changes": 0}
    names = list(self._sizes)
    length = _LENGTHS
    for m, name in enumerate(names):
      blocks = [("kernel", "value", one, self._sizes[one]) for one in names[:m]]
      blocks += [("to_values", "change", one, length[one]) for one in names[:m]]
      for one in names[:m]:
        blocks += [
          ("to_changes", "value", one, self._sizes[one]),
          ("to_changes", "change", one, length[one]),
        ]
      for weight, kind, one, rows in blocks:
        columns = length[name] if weight == "to_changes" else self._sizes[name]
        end = at[weight] + rows * columns
        block = weights[weight][at[weight] : end].reshape(rows, columns)
        self._terms[weight, kind, one, name] = block
        at[weight] = end
    assert {k: len(v) for k, v in weights.items()} == at

  def logits(self, n, name, last, now):
    """Logits of a token of row `n`, those before it being `now`."""
    names = list(self._sizes)
    starts = tokens.slices(self._sizes)
    first = sum(_LENGTHS[one] for one in names[: names.index(name)])
    values = self._logits[n, starts[name]].copy()
    scores = self._scores[n, first : first + _LENGTHS[name]].copy()
    for m, one in enumerate(names[: names.index(name)]):
      values += self._terms["kernel", "value", one, name][now[m]]
      scores += self._terms["to_changes", "value", one, name][now[m]]
      change = None if n == 0 else _change(one, last[m], now[m])
      if change is not None:
        values += self._terms["to_values", "change", one, name][change]
        scores += self._terms["to_changes", "change", one, name][change]
    for value in range(self._sizes[name]) if n else ():
      change = _change(name, last[names.index(name)], value)
      if change is not None:
        values[value] += scores[change]
    return values


@_each
def test_told_tokens_owe_to_values_and_changes_before_them(cfg):
  params, deter, last, now = _example(cfg)
  found = fakes.jit(functools.partial(token_prior.told_logits, cfg))(
    params,
    deter,
    _hot(cfg, last),
    np.array(tokens.one_hot(cfg.token_sizes, now)),
  )
  chain, starts = _Chain(cfg, params, deter), tokens.slices(cfg.token_sizes)
  for n in range(_N):
    for name, place in starts.items():
      np.testing.assert_allclose(
        found[n, place], chain.logits(n, name, last[n], now[n]), atol=1e-4
      )


@_each
@pytest.mark.parametrize("most_likely", [False, True])
def test_tokens_are_drawn_one_after_the_other(cfg, most_likely):
  params, deter, last, _ = _example(cfg)
  sizes = cfg.token_sizes
  key = jax.random.key(3)
  found = fakes.jit(
    functools.partial(table_step.draw_tokens, cfg, most_likely=most_likely)
  )(params, key, deter, _hot(cfg, last))
  found = np.array(tokens.numbers(sizes, found))
  chain = _Chain(cfg, params, deter)
  keys = jax.random.split(key, len(sizes))
  chance = np.stack([jax.random.uniform(one, (_N,)) for one in keys], -1)
  changed = 0
  for n in range(_N):
    now = np.zeros(len(sizes), int)
    for m, name in enumerate(sizes):
      logits = chain.logits(n, name, last[n], now)
      if most_likely:
        now[m] = logits.argmax()
      else:
        share = np.cumsum(np.exp(logits - logits.max()))
        now[m] = np.searchsorted(share, chance[n, m] * share[-1], "right")
      changed += n > 0 and _change(name, last[n, m], now[m]) is not None
    np.testing.assert_array_equal(found[n], now)
  assert changed > _N  # else nothing is shown


def test_a_look_may_fall_back_and_catch_up():
  assert _SPANS["figure_look"] == (-2, 26)
  without = dataclasses.replace(_CFG, chain_changes=False)
  assert relative_tokens.changes(without)["figure_look"] == (0, 24)
  look = _config("figure_look:62")
  for before, after, column in ((1, 61, 0), (5, 5, 2), (60, 24, 28)):
    hot = np.array(
      relative_tokens.hot(look, jnp.eye(62)[before], jnp.eye(62)[after])
    )
    assert hot.sum() == 1 and hot.argmax() == column
  outside = relative_tokens.hot(look, jnp.eye(62)[0], jnp.eye(62)[30])
  assert not np.array(outside).any()
