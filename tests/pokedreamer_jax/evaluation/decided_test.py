"""Whether tokens decide the next ones, against dictionaries of rows."""

import collections

import numpy as np
import pytest

from pokedreamer_jax.evaluation import decided

_NAMES = ("place", "wait", "luck")


def _steps(count, seed=0):
  """A place moved by the button, a wait that counts down, and a die."""
  rng = np.random.default_rng(seed)
  action = rng.integers(2, size=count)
  place, wait = rng.integers(5, size=count), rng.integers(4, size=count)
  luck = rng.integers(3, size=count)
  later = np.where(wait == 0, 0, (place + action) % 5)
  rolled = rng.integers(3, size=count)
  return decided.Steps(
    np.stack([place, wait, luck], 1),
    np.stack([later, (wait - 1) % 4, rolled], 1),
    action,
  )


def _by_hand(rows, outcomes, least=decided.LEAST_ALIKE):
  """Rows alike, and how many of those have not the commonest outcome."""
  found = collections.defaultdict(list)
  for row, outcome in zip(rows, outcomes, strict=True):
    found[row].append(outcome)
  alike = [o for o in found.values() if len(o) >= least]
  counts = [collections.Counter(o).most_common(1)[0][1] for o in alike]
  total = sum(map(len, alike))
  return total, (total - sum(counts)) / total


def test_shares_are_those_of_a_dictionary():
  steps = _steps(400)
  (found,) = decided.measure(
    _NAMES, steps, {"all": np.ones(400, bool)}
  ).values()
  tuples = lambda array: [tuple(row) for row in array.tolist()]
  keys = tuples(np.concatenate([steps.now, steps.action[:, None]], 1))
  total, undecided = _by_hand(keys, tuples(steps.later))
  assert found["rows"] == 400 and 0 < found["alike"] == total < 400
  assert found["undecided"] == pytest.approx(undecided)
  for m, name in enumerate(_NAMES):
    _, share = _by_hand(keys, steps.later[:, m].tolist())
    assert found["tokens"][name] == pytest.approx(share)
  # What one must know is counted on the rows that are alike with it.
  counts = collections.Counter(keys)
  kept = [n for n, key in enumerate(keys) if counts[key] >= 3]
  for m, name in enumerate(_NAMES):
    _, share = _by_hand(
      [keys[n][:m] + keys[n][m + 1 :] for n in kept],
      [tuple(steps.later[n].tolist()) for n in kept],
    )
    assert found["without"][name] == pytest.approx(share)


def test_what_is_hidden_shows_and_what_is_known_does_not():
  steps = _steps(20_000)
  masks = {"all": np.ones(20_000, bool)}
  (known,) = decided.measure(_NAMES, steps, masks).values()
  assert known["tokens"]["place"] == known["tokens"]["wait"] == 0.0
  assert known["tokens"]["luck"] == pytest.approx(2 / 3, abs=0.05)
  assert known["without"]["wait"] > known["undecided"] + 0.1
  assert known["without"]["luck"] == pytest.approx(known["undecided"], abs=0.05)
  hidden = decided.Steps(
    steps.now[:, :1], steps.later[:, :1], steps.action
  )  # nobody says how long there is to wait
  (blind,) = decided.measure(_NAMES[:1], hidden, masks).values()
  assert 0.1 < blind["undecided"] < 0.3


def test_rows_are_compared_within_a_situation_alone():
  steps = _steps(90)
  first = np.arange(90) < 2
  found = decided.measure(_NAMES, steps, {"two": first, "rest": ~first})
  assert found["two"] == {
    **{"rows": 2, "alike": 0, "undecided": None},
    **{"tokens": {}, "without": {}},
  }
  rest = decided.Steps(steps.now[2:], steps.later[2:], steps.action[2:])
  alone = decided.measure(_NAMES, rest, {"rest": np.ones(88, bool)})
  assert found["rest"] == alone["rest"] and alone["rest"]["alike"] > 0


def _pictures(count, seed=0):
  """Screens of two by three tiles: a place, what blinks, and a die."""
  steps = _steps(count, seed)
  rows = steps.now
  tiles = np.zeros((count, 2, 3), np.int64)
  tiles[:, 0, 0], tiles[:, 0, 2] = rows[:, 0], rows[:, 1] % 2
  tiles[:, 1, 1] = np.random.default_rng(seed + 1).integers(3, size=count)
  return rows, tiles


def test_pictures_that_tokens_decide_are_told_from_those_they_do_not():
  rows, tiles = _pictures(900)
  masks = {"all": np.ones(900, bool)}
  (found,) = decided.pictures(
    _NAMES, rows, tiles, masks, {"all": ("luck",)}
  ).values()
  keys = [tuple(row) for row in rows[:, :2].tolist()]
  whole = [tuple(one) for one in tiles.reshape(900, -1).tolist()]
  total, undecided = _by_hand(keys, whole)
  assert found["rows"] == 900 and found["alike"] == total
  assert found["undecided"] == pytest.approx(undecided)
  for at in np.ndindex(2, 3):
    _, share = _by_hand(keys, tiles[:, *at].tolist())
    assert found["tiles"][at[0]][at[1]] == pytest.approx(share)
  assert np.argmax(found["tiles"]) == 4 and found["tiles"][0] == [0, 0, 0]
  assert set(found["without"]) == {"place", "wait"}  # of which it was asked
  # Where one token is not known, what it decides is not.
  blind = {"all": ("luck", "wait")}
  (less,) = decided.pictures(_NAMES, rows, tiles, masks, blind).values()
  assert less["tiles"][0][0] == 0 and less["tiles"][0][2] > 0.3
  (one,) = decided.pictures(
    _NAMES, rows[:2], tiles[:2], {"two": np.ones(2, bool)}, {}
  ).values()
  assert one["undecided"] is None and one["tiles"] == []
