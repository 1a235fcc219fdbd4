"""Shares of what is drawn wrongly first, against drawing it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.evaluation import wrong_tokens
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import table_step
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_W, _T, _CONTEXT, _DRAWS = 3, 5, 2, 3000
_CFG = fakes.config(
  *("world_model.relative_tokens=true", "world_model.chain_changes=true"),
).world_model


def test_shares_are_those_of_drawing_the_step():
  params, windows = fakes.params(_CFG, 0.3), fakes.windows(_W, _T)
  calm = np.zeros((_W, _T - _CONTEXT), bool)
  calm[0], calm[1, 0] = True, True
  found = wrong_tokens.measure(
    *(_CFG, params, jax.random.key(0), windows, _CONTEXT),
    *(np.arange(_W), 10, False, calm),
  )
  first = _drawn(params, windows)
  names = [*_CFG.token_sizes]
  for part, mask in (("all", np.ones_like(calm)), ("calm", calm)):
    rows = first[mask]  # [rows, draws], M where all are right
    assert found[part]["rows"] == len(rows)
    assert sum(s["mean"] for s in found[part]["first_wrong"].values()) < 1.0
    told = found[part]["first_wrong"] | {"": found[part]["right"]}
    for name, said in told.items():
      number = names.index(name) if name else len(names)
      share = (rows == number).mean()
      sigma = np.sqrt(max(said["mean"], 1e-4) / rows.size)
      assert abs(share - said["mean"]) < 5 * sigma, (part, name)
  worst = [said["mean"] for said in found["all"]["first_wrong"].values()]
  assert worst == sorted(worst, reverse=True) and worst[1] > 0.01
  assert 0.0 <= found["all"]["likeliest_right"]["mean"] <= 1.0


def _drawn(params, windows):
  """The first token that is not as recorded, `[W, H, draws]`."""
  batch = fakes.on_device(windows)
  observe = fakes.jit(functools.partial(world_model.observe, _CFG))
  # Latents are drawn, of these the same.
  key = jax.random.split(jax.random.key(0))[1]
  padded = jax.tree.map(
    lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], 50 - _W, 0)]),
    batch,
  )
  seen = jax.tree.map(lambda leaf: leaf[:_W], observe(params, key, padded))
  hot = seen.state.tokens
  last = world_model.last_tokens(
    jnp.zeros((_W, _CFG.token_dim)), hot, batch["is_first"]
  )
  draw = fakes.jit(
    functools.partial(table_step.draw_tokens, _CFG, most_likely=False)
  )
  first = np.zeros((_W, _T - _CONTEXT, _DRAWS), int)
  for w, h in np.ndindex(*first.shape[:2]):
    row = w, h + _CONTEXT
    many = lambda leaf, row=row: jnp.repeat(leaf[row][None], _DRAWS, 0)
    made = draw(
      *(params, jax.random.key(7 * w + h), many(seen.state.deter), many(last))
    )
    drawn, recorded = (
      np.array(tokens.numbers(_CFG.token_sizes, one))
      for one in (made, hot[row])
    )
    right = drawn == recorded
    wrong = np.concatenate([~right, np.ones((_DRAWS, 1), bool)], 1)
    first[w, h] = wrong.argmax(axis=1)
  return first


def test_rows_are_calm_up_to_the_last_step_that_is():
  calm = np.array([[True, True, False], [False, False, False], [True] * 3])
  rows = wrong_tokens.up_to(calm, [1, 3, 5], 5)
  np.testing.assert_array_equal(rows.sum(axis=1), [3, 0, 5])
  assert rows[0, :3].all()
