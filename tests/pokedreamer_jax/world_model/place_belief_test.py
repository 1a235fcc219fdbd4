"""A believed place: what prior, frame and atlas each decide of it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import rssm
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import place_belief
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens
from tests.pokedreamer_jax import fakes

_CFG = fakes.config(
  *("world_model.atlas=counted", "world_model.atlas_cells=2112"),
  "world_model.ram=place",
).world_model
_SIZES = _CFG.token_sizes
_DIM = _CFG.token_dim


@functools.cache
def _atlas():
  """Maps 1 and 2, of random tiles, one like the other."""
  rng = np.random.default_rng(0)
  empty = jax.tree.map(np.array, atlas_lib.empty(_CFG))
  pages = empty.pages[1].size
  assert (2 * pages + 1) * atlas_lib.PAGE_CELLS == _CFG.atlas_cells
  for map_id in (1, 2):
    first = 1 + (map_id - 1) * pages
    empty.pages[map_id].flat[:] = np.arange(first, first + pages)
  held = rng.integers(0, _CFG.tile_vocab, empty.tiles.shape).astype(np.int32)
  held[0] = _CFG.tile_vocab
  ground = held[atlas_lib.PAGE_CELLS :]
  ground[len(ground) // 2 :] = ground[: len(ground) // 2]
  return jax.tree.map(jnp.asarray, empty.replace(tiles=held))


def _hot(map_id, y, x, **others):
  number = {"map": map_id, "y": y, "x": x, **others}
  row = jnp.array([number.get(name, 0) for name in _SIZES])
  return tokens.one_hot(_SIZES, row)


def _place(where):
  return tuple(int(leaf) for leaf in (where.map, where.y, where.x))


def _shown(map_id, y, x):
  """The screen `[360]` that the atlas holds there."""
  return atlas_lib.screen(
    _atlas(), atlas_lib.Place(*map(jnp.asarray, (map_id, y, x)))
  )


def _best(prior=None, guess=None, last=None, ids=None, atlas=None, chain=None):
  flat = jnp.zeros(_DIM)
  found = place_belief.believe(
    _CFG,
    _atlas() if atlas is None and ids is not None else atlas,
    flat if prior is None else prior,
    jnp.zeros((_DIM, _DIM)) if chain is None else chain,
    flat if guess is None else guess,
    flat if last is None else last,
    ids,
  )
  assert found.weight.shape == (place_belief.NUM_CANDIDATES,)
  np.testing.assert_allclose(found.weight.sum(), 1.0, rtol=1e-5)
  return _place(found.best)


@pytest.mark.parametrize("step", [(0, 0), (1, 0), (0, -1), (-2, 0)])
def test_the_atlas_finds_the_step_that_nothing_else_knows(step):
  there = (1, 4 + step[0], 5 + step[1])
  assert _best(last=_hot(1, 4, 5), ids=_shown(*there)) == there


def test_the_frames_own_guess_brings_back_who_is_lost():
  guess = 3.0 * _hot(1, 6, 3)
  found = _best(last=_hot(3, 10, 11), guess=guess, ids=_shown(1, 6, 3))
  assert found == (1, 6, 3)


def test_where_two_places_look_the_same_the_prior_decides():
  same = _shown(1, 4, 2)
  np.testing.assert_array_equal(same, _shown(2, 4, 2))
  guess = 1.0 * _hot(1, 4, 2)
  for last in (1, 2):
    stays = 4.0 * _hot(last, 4, 2)
    found = _best(prior=stays, guess=guess, last=_hot(last, 4, 2), ids=same)
    assert found == (last, 4, 2)


def test_a_screen_that_shows_no_place_leaves_it_to_the_prior():
  battle = jnp.full(360, _CFG.tile_vocab)  # nothing of the maps
  guess = 1.0 * _hot(1, 8, 9)
  prior = 3.0 * _hot(1, 4, 2)
  assert _best(prior, guess, _hot(1, 4, 2), battle) == (1, 4, 2)
  # And what the frame is sure of outweighs what the prior thinks.
  assert _best(prior, 9.0 * _hot(1, 8, 9), _hot(1, 4, 2), battle) == (1, 8, 9)


def test_a_warp_is_a_candidate_by_what_the_prior_says_of_the_new_map():
  parts = tokens.slices(_SIZES)
  chain = jnp.zeros((_DIM, _DIM))
  # On map 2 one arrives at (1, 3); else one stays about (9, 9).
  row = parts["map"].start + 2
  chain = chain.at[row, parts["y"].start + 1].set(20.0)
  chain = chain.at[row, parts["x"].start + 3].set(20.0)
  prior = 5.0 * _hot(2, 9, 9)
  assert _best(prior, last=_hot(1, 9, 9), chain=chain) == (2, 1, 3)


def test_log_probabilities_are_those_of_the_chain():
  rng = np.random.default_rng(1)
  logits = jnp.asarray(rng.normal(size=_DIM), jnp.float32)
  kernel = jnp.asarray(rng.normal(size=(_DIM, _DIM)), jnp.float32)
  first = {"battle": 2}
  where = atlas_lib.Place(
    *(jnp.asarray(rng.integers(0, _SIZES[n], 5)) for n in ("map", "y", "x"))
  )
  told = jnp.where(
    jnp.arange(_DIM) < _SIZES["battle"], _hot(0, 0, 0, **first), 0
  )
  found = place_belief.Prior(_SIZES, logits, kernel, told).log_prob(where)
  module = rssm.TokenChain(tuple(_SIZES.values()))
  for i in range(5):
    place = jax.tree.map(lambda leaf, i=i: leaf[i], where)
    hot = _hot(*_place(place), **first)
    terms = module.apply({"params": {"kernel": kernel}}, hot)
    nats = tokens.cross_entropy(_SIZES, logits + terms, hot)
    expected = -sum(nats[name] for name in ("map", "y", "x"))
    np.testing.assert_allclose(found[i], expected, rtol=1e-5)


@pytest.mark.parametrize("begun", [True, False])
def test_log_probabilities_are_those_of_a_chain_with_changes(begun):
  cfg = dataclasses.replace(_CFG, relative_tokens=True, chain_changes=True)
  params, rng = fakes.params(cfg, 0.3), np.random.default_rng(2)
  deter = jnp.asarray(rng.normal(size=cfg.deter), jnp.float32)
  last = _hot(1, 4, 5, battle=1) * begun
  told = {"battle": 2, "dialog": 1, "menu": 0, "menu_item": 3}
  where = atlas_lib.Place(
    *(jnp.array(each) for each in ([1, 1, 2], [4, 5, 7], [5, 6, 1]))
  )
  logits, scores = token_prior.outputs(cfg, params, deter)
  chain = token_prior.chain_matrix(cfg, params)
  guess = _hot(0, 0, 0, **told)
  believed = functools.partial(
    place_belief.prior_of, cfg, logits, chain, guess, last, scores
  )
  found = believed().log_prob(where)
  for i in range(3):
    place = jax.tree.map(lambda leaf, i=i: leaf[i], where)
    hot = _hot(*_place(place), **told)
    said = token_prior.told_logits(cfg, params, deter, last, hot)
    nats = tokens.cross_entropy(_SIZES, said, hot)
    expected = -sum(nats[name] for name in ("map", "y", "x"))
    np.testing.assert_allclose(found[i], expected, rtol=1e-4)


def test_of_equal_candidates_one_has_all_the_weight():
  last = _hot(1, 4, 2)
  found = place_belief.believe(
    *(_CFG, None, jnp.zeros(_DIM), jnp.zeros((_DIM, _DIM))),
    *(9.0 * last, last, None),
  )
  places = np.stack([found.where.map, found.where.y, found.where.x], axis=-1)
  there = (places == (1, 4, 2)).all(axis=-1)
  assert there.sum() > 1
  assert (np.asarray(found.weight)[there] > 0).sum() == 1


def _observed(ram, batch, atlas=True, chained=False):
  cfg = dataclasses.replace(_CFG, ram=ram, atlas="counted" if atlas else "off")
  if chained:
    cfg = dataclasses.replace(cfg, relative_tokens=True, chain_changes=True)
  params = dict(fakes.params(cfg, noise=0.3))
  if atlas:
    params["atlas"] = vars(_atlas())
  run = fakes.jit(functools.partial(world_model.observe, cfg, infer=True))
  return cfg, params, run(params, jax.random.key(0), batch)


@pytest.mark.parametrize(
  ("atlas", "chained"), [(True, False), (False, False), (True, True)]
)
def test_observing_believes_the_place_and_guesses_the_rest(atlas, chained):
  batch = fakes.on_device(fakes.windows(2, 5))
  cfg, params, seen = _observed("place", batch, atlas, chained)
  numbers = tokens.numbers(cfg.token_sizes, seen.state.tokens)
  guessed = tokens.numbers(cfg.token_sizes, seen.infer_logits)
  names = list(cfg.token_sizes)
  others = [i for i, n in enumerate(names) if n not in ("map", "y", "x")]
  np.testing.assert_array_equal(numbers[..., others], guessed[..., others])
  assert (numbers != guessed).any()
  # Each place is the best of what is believed with the state before it.
  last = world_model.last_tokens(
    jnp.zeros((2, cfg.token_dim)), seen.state.tokens, batch["is_first"]
  )
  prior = token_prior.logits(cfg, params, seen.state.deter, last)
  scores = None
  if chained:
    prior, scores = token_prior.outputs(cfg, params, seen.state.deter)
  chain = token_prior.chain_matrix(cfg, params)
  ids = tiles.encode(world_model.tile_table(params), batch["frame"])
  for b, t in np.ndindex(2, 5):
    belief = place_belief.believe(
      *(cfg, world_model.map_memory(params), prior[b, t]),
      *(chain, seen.infer_logits[b, t], last[b, t], ids[b, t]),
      None if scores is None else scores[b, t],
    )
    place = [int(numbers[b, t, names.index(n)]) for n in ("map", "y", "x")]
    assert _place(belief.best) == tuple(place)


def test_what_an_evaluation_calls_guessed_is_what_the_state_holds():
  params = dict(fakes.params(_CFG, noise=0.3), atlas=vars(_atlas()))
  batch = fakes.on_device(fakes.windows(2, 5))
  state, guess, _ = device.observe(
    *(_CFG, params, jax.random.key(0), batch), infer=True
  )
  np.testing.assert_array_equal(guess, tokens.numbers(_SIZES, state.tokens))


def test_acting_row_by_row_believes_the_same():
  batch = fakes.windows(2, 4)
  cfg, params, seen = _observed("place", fakes.on_device(batch))
  state = world_model.initial_state(cfg, (2,))
  step = fakes.jit(functools.partial(world_model.act_step, cfg, infer=True))
  for t in range(4):
    before = batch["action"][:, t - 1] if t else batch["first_action_tm1"]
    state = step(
      *(params, jax.random.key(t), state, batch["frame"][:, t], {}, before),
      batch["is_first"][:, t],
    )
    # Latents are drawn by other keys; the first row's place needs none.
    if t == 0:
      np.testing.assert_array_equal(state.tokens, seen.state.tokens[:, 0])
    assert state.tokens.shape == (2, cfg.token_dim)


@pytest.mark.parametrize(
  ("overrides", "said"),
  [
    (["tokens=map:4 y:9", "ram=place"], r"ram: 'place', .* no tokens \['x'\]"),
    (["ram=guess"], "'guess', expected .*'inferred', 'place'"),
  ],
)
def test_what_no_place_can_be_believed_of_is_refused(overrides, said):
  with pytest.raises(ValueError, match=said):
    presets.make("debug", [f"world_model.{item}" for item in overrides])
