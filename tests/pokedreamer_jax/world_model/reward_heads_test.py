"""Reward heads: amounts in and out, and rewards that tokens decide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens

_SIZES = {"map": 6, "badges": 4, "dex_owned": 5}
_TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}
_loss = jax.jit(reward_heads.loss)
_predict = jax.jit(reward_heads.predict)


def _hot(*numbers):
  return tokens.one_hot(_SIZES, jnp.array(numbers))


def _terms(**values):
  terms = np.zeros(specs.NUM_REWARD_TERMS, np.float32)
  for name, value in values.items():
    terms[_TERM[name]] = value
  return terms


def _visited(*maps):
  return jnp.zeros(256, bool).at[jnp.array(maps)].set(True)


def _all_rows(targets):
  """Each target as a batch of equal rows."""
  return [np.repeat(terms[None], len(targets), axis=0) for terms in targets]


def _two_hot(amounts):
  return two_hot.weights(amounts, reward_heads.bin_amounts())


def _ideal(terms):
  """Raw outputs that are nearly certain of `terms` `[8]`."""
  events = [40.0 * (terms[_TERM[n]] > 0) - 20 for n in reward_heads.EVENT_TERMS]
  amounts = [
    jnp.log(_two_hot(terms[_TERM[name]]) + 1e-12)
    for name in reward_heads.AMOUNT_TERMS
  ]
  return jnp.concatenate([jnp.array(events), *amounts])


def test_bins_rise_from_zero_to_the_documented_limit():
  bins = np.asarray(reward_heads.bin_amounts())
  assert bins.shape == (reward_heads.NUM_BINS,)
  assert bins[0] == 0
  assert (np.diff(bins) > 0).all()
  np.testing.assert_allclose(bins[-1], np.e**8 - 1, rtol=1e-5)


def test_the_mean_of_a_two_hot_is_the_amount():
  bins = np.asarray(reward_heads.bin_amounts())
  amounts = np.concatenate(
    [bins, bins * 0.99, [0.001, 1.0, 2.0, 37.5, 999.0]]
  ).astype(np.float32)
  weights = np.asarray(jax.jit(_two_hot)(amounts))
  assert weights.shape == (len(amounts), reward_heads.NUM_BINS)
  np.testing.assert_allclose(weights @ bins, amounts, rtol=2e-5, atol=1e-6)
  np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)
  assert (weights >= 0).all()
  for row in weights:  # at most two bins, side by side
    assert np.ptp(np.flatnonzero(row)) <= 1


def test_amounts_beyond_the_bins_are_clipped():
  weights = _two_hot(jnp.array([-3.0, 1e6]))
  last = reward_heads.NUM_BINS - 1
  assert jnp.argmax(weights, axis=-1).tolist() == [0, last]
  assert jnp.max(weights, axis=-1).tolist() == [1.0, 1.0]


_TARGETS = np.array(
  [
    _terms(),
    _terms(badges=1, xp=67, trainer_wins=1),
    _terms(species=1, new_maps=1, hp_lost=11.5),
    _terms(wild_wins=1, xp=2900, hp_lost=3),
  ]
)


def test_the_loss_is_smallest_at_the_target():
  ideal = jnp.stack([_ideal(terms) for terms in _TARGETS])
  table = np.array([_loss(ideal, terms) for terms in _all_rows(_TARGETS)])
  # Column j holds the head that is certain of target j; row i the target.
  assert (table.argmin(axis=1) == np.arange(4)).all()
  gap = table - table.diagonal()[:, None]
  assert (gap[~np.eye(4, dtype=bool)] > 1.0).all()
  # At the target, only the entropy of the two-hots remains.
  assert (table.diagonal() < 2 * np.log(2) + 1e-3).all()
  # A gradient step from a flat head leads there.
  flat = jnp.zeros((4, reward_heads.NUM_OUTPUTS))
  grad = jax.jit(jax.grad(lambda x: jnp.sum(reward_heads.loss(x, _TARGETS))))
  better = _loss(flat - 0.1 * grad(flat), _TARGETS)
  assert (np.asarray(better) < np.asarray(_loss(flat, _TARGETS))).all()


def test_prediction_gives_the_target_back():
  found = np.asarray(_predict(jnp.stack([_ideal(t) for t in _TARGETS])))
  expected = [_TARGETS[0] + _terms(stuck=1), *_TARGETS[1:]]
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_the_loss_by_hand_where_the_head_is_flat():
  # Five coins and two dice of 41 sides: 5 log 2 + 2 log 41.
  flat = jnp.zeros((3, reward_heads.NUM_OUTPUTS))
  nats = _loss(flat, jnp.zeros((3, 8)))
  np.testing.assert_allclose(nats, 5 * np.log(2) + 2 * np.log(41), rtol=1e-6)


def test_each_term_has_outputs_of_its_own():
  # Changing the target of one term moves the gradient of its outputs alone.
  flat = jnp.zeros(reward_heads.NUM_OUTPUTS)
  grad = jax.jit(jax.grad(reward_heads.loss))
  base = grad(flat, _terms())
  touched = {}
  for name in specs.REWARD_TERMS:
    moved = np.flatnonzero(grad(flat, _terms(**{name: 1.0})) != base)
    touched[name] = set(moved.tolist())
  names = (*reward_heads.EVENT_TERMS, *reward_heads.AMOUNT_TERMS)
  for i, name in enumerate(names):
    assert touched[name], name
    for other in names[:i]:
      assert not touched[name] & touched[other]
  assert not touched["stuck"]  # computed, never predicted


def test_extreme_outputs_stay_finite():
  outputs = jnp.full((2, reward_heads.NUM_OUTPUTS), 1e4) * jnp.array(
    [[1.0], [-1.0]]
  )
  outputs = outputs.at[:, 7].set(-1e4)
  terms = jnp.broadcast_to(_terms(badges=1, xp=1e9), (2, 8))
  grad = jax.grad(lambda x: jnp.sum(reward_heads.loss(x, terms)))(outputs)
  for array in (_loss(outputs, terms), _predict(outputs), grad):
    assert np.isfinite(array).all()


@pytest.mark.parametrize(
  ("good", "stuck"),
  [
    ({}, 1.0),
    ({"badges": 1.0}, 0.0),
    ({"xp": 0.25}, 0.75),
    ({"xp": 60.0}, 0.0),
    ({"hp_lost": 5.0}, 1.0),  # a loss is no progress
    ({"new_maps": 0.5, "species": 0.75}, 0.0),  # never below zero
  ],
)
def test_stuck_is_what_remains_of_one(good, stuck):
  terms = {name: jnp.asarray(0.0) for name in specs.REWARD_TERMS[:-1]}
  terms |= {name: jnp.asarray(value) for name, value in good.items()}
  found = reward_heads.with_stuck(terms)
  np.testing.assert_allclose(found, _terms(**good, stuck=stuck))


@pytest.mark.parametrize(
  # Rows are (map, badges, dex_owned).
  ("before", "after", "seen", "paid"),
  [
    ((0, 0, 0), (0, 0, 0), (0,), {}),
    ((0, 0, 0), (3, 0, 0), (0,), {"new_maps": 1}),
    ((0, 0, 0), (3, 0, 0), (0, 3), {}),  # an old map
    ((3, 0, 0), (0, 0, 0), (0, 3), {}),  # going back
    ((0, 0, 1), (0, 1, 1), (0,), {"badges": 1}),
    ((0, 1, 1), (0, 3, 1), (0,), {"badges": 2}),
    ((0, 2, 1), (0, 1, 1), (0,), {}),  # losing one costs nothing
    ((0, 0, 1), (0, 0, 2), (0,), {"species": 1}),
    ((0, 0, 4), (0, 0, 1), (0,), {}),
    ((1, 1, 1), (5, 2, 3), (1,), {"new_maps": 1, "badges": 1, "species": 2}),
  ],
)
def test_tokens_decide_badges_species_and_maps(before, after, seen, paid):
  # Whatever the head says of these three is put aside; the rest stays.
  predicted = _terms(badges=0.5, species=0.5, new_maps=0.5, hp_lost=4.0)
  terms, progress = _arrive(_progress(before, *seen), after, predicted)
  expected = _terms(**paid, hp_lost=4.0, stuck=0.0 if paid else 1.0)
  np.testing.assert_allclose(terms, expected)
  np.testing.assert_array_equal(progress.visited, _visited(*seen, after[0]))
  np.testing.assert_array_equal(progress.best, np.maximum(before, after)[1:])


def test_a_map_pays_once():
  assert _paid("new_maps", [(m, 0, 0) for m in (0, 2, 2, 0, 2, 4, 0)]) == [
    *(1, 0, 0, 0, 1, 0)
  ]


@pytest.mark.parametrize("term", ["badges", "species"])
def test_a_flickering_token_is_no_income(term):
  counts = [0, 2, 1, 2, 3, 0, 3, 1]
  states = [(0, n, 0) if term == "badges" else (0, 0, n) for n in counts]
  assert _paid(term, states) == [2, 0, 0, 1, 0, 0, 0]


def test_where_a_dream_starts_is_no_news():
  # The title screen: memory holds map 0, and no map is visited.
  assert _paid("new_maps", [(m, 0, 0) for m in (0, 0, 0, 3, 0, 3)]) == [
    *(0, 0, 1, 0, 0)
  ]


def _progress(state, *seen):
  return progress_lib.recorded(_SIZES, _hot(*state), _visited(*seen))


def _arrive(before, state, predicted):
  after = progress_lib.advance(_SIZES, _hot(*state), before)
  return reward_heads.from_tokens(_SIZES, predicted, before, after), after


def _paid(term, states):
  progress, paid = _progress(states[0], states[0][0]), []
  for state in states[1:]:
    terms, progress = _arrive(progress, state, _terms())
    paid.append(float(terms[_TERM[term]]))
  return paid


def test_without_tokens_the_heads_decide():
  predicted = _terms(badges=0.25, new_maps=0.125, hp_lost=2.0, stuck=9.0)
  empty = jnp.zeros(0)
  before = progress_lib.recorded({}, empty, _visited(3))
  progress = progress_lib.advance({}, empty, before)
  terms = reward_heads.from_tokens({}, predicted, before, progress)
  np.testing.assert_allclose(
    terms, _terms(badges=0.25, new_maps=0.125, hp_lost=2.0, stuck=0.625)
  )
  np.testing.assert_array_equal(progress.visited, _visited(3))


def test_visited_flags_are_the_bits_of_the_mask():
  rng = np.random.default_rng(0)
  mask = rng.integers(0, 256, (2, 3, 32)).astype(np.uint8)
  found = np.asarray(jax.jit(progress_lib.visited_flags)(mask))
  assert found.shape == (2, 3, 256)
  for index in np.ndindex(2, 3):
    for number in range(256):
      bit = (int(mask[index][number // 8]) >> (number % 8)) & 1
      assert found[index][number] == bool(bit)
  np.testing.assert_array_equal(
    found, np.unpackbits(mask, axis=-1, bitorder="little").astype(bool)
  )


def test_an_amount_is_an_event_where_it_is_hardly_nothing():
  outputs = np.zeros((2, reward_heads.NUM_OUTPUTS), np.float32)
  events = len(reward_heads.EVENT_TERMS)
  outputs[:, :events] = -9.0
  outputs[:, events :: reward_heads.NUM_BINS] = 20.0  # nothing, for sure
  outputs[1, 0] = 1.0
  outputs[1, events] = 0.0  # XP, any bin alike
  found = np.asarray(reward_heads.event_probabilities(jnp.asarray(outputs)))
  xp = specs.REWARD_TERMS.index("xp")
  share = 1.0 - 1.0 / reward_heads.NUM_BINS
  np.testing.assert_allclose(found[1, xp], share, rtol=1e-5)
  np.testing.assert_allclose(found[1, 0], 1.0 / (1.0 + np.exp(-1.0)), rtol=1e-5)
  assert found[0, xp] < 1e-6 and found[0, -1] > 0.99 and found[1, -1] == 0.0
