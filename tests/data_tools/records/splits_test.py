"""Held-out episodes: some on both sides, and no way from one to the other."""

import hashlib
import json

import pytest

from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import splits
from tests.data_tools import fakes

_KINDS = ("random", "demonstrator:eps=0.1")


@pytest.mark.parametrize("count", [1, 2, 3, 400])
def test_both_splits_have_episodes_as_soon_as_there_are_two(count):
  headers = [fakes.header(i) for i in range(count)]
  held_out = splits.decide(headers, 0.1)
  assert 0 < held_out.count(False)
  assert (count == 1) == (not any(held_out))
  if count == 400:
    assert 20 < sum(held_out) < 60


def test_no_held_out_episode_returns_to_training_as_data_grows():
  headers = [fakes.header(i, _KINDS[i % 2]) for i in range(100)]
  before = splits.decide(headers[:40], 0.1)
  after = splits.decide(headers, 0.1)[:40]
  assert before == after


def _generation(directory, prefix, collection, episodes):
  fakes.write(directory, prefix, episodes, collection=collection)
  return generations.freeze(directory)


def _sides(generation, earlier=None):
  train, val = (
    {
      header.episode_id
      for header in loader.EpisodeIndex(
        generation, split, earlier=earlier
      ).headers
    }
    for split in ("train", "val")
  )
  assert not train & val
  return train, val


def test_nothing_changes_sides_whatever_is_added_before_it(tmp_path):
  # What comes later sorts first, brings a second episode of a behaviour that
  # had one alone, and a behaviour that is new.
  first = _generation(
    tmp_path, "a", "m", [(0, 20, "random"), (1, 20, "random"), (2, 20, "human")]
  )
  second = _generation(
    tmp_path, "b", "c", [(i, 30, _KINDS[i % 2]) for i in range(6)]
  )
  third = _generation(tmp_path, "d", "a", [(0, 40, "human"), (1, 40, "random")])
  trained: set[str] = set()
  validated: set[str] = set()
  index, moved = None, 0
  for generation in (first, second, third):
    index = loader.EpisodeIndex(
      generation, earlier=index.sides if index else None
    )
    train = {header.episode_id for header in index.headers}
    held_out = {h for h, side in index.sides.held_out.items() if side}
    alone = _sides(generation)
    moved += len(trained & alone[1]) + len(validated & alone[0])
    assert not train & validated and not held_out & trained
    trained |= train
    validated |= held_out
  assert moved  # taken by itself, a later generation does mix them up
  assert len(trained) + len(validated) == third.num_episodes == 11
  # As soon as there are two of a behaviour, one is held out.
  kinds = {
    h.behaviour
    for h in loader.EpisodeIndex(
      third, "val", earlier=_chain(first, second)
    ).headers
  }
  assert kinds == {"random", "human", "demonstrator:eps=0.1"}


def _chain(*some):
  sides = splits.Sides()
  for generation in some:
    sides = sides.extended(generation)
  return sides


def test_both_splits_share_the_episodes_of_a_grown_generation(tmp_path):
  one = _generation(tmp_path, "a", "m", [(0, 20, "random")])
  assert _sides(one) == ({fakes.header(0, collection="m").episode_id}, set())
  two = _generation(tmp_path, "b", "c", [(0, 21, "random")])
  train, val = _sides(two, _chain(one))
  assert train == {fakes.header(0, collection="m").episode_id}
  assert val == {fakes.header(0, collection="c").episode_id}


def test_the_fingerprint_names_the_whole_list(tmp_path):
  one = _generation(tmp_path, "a", "m", [(i, 20, "random") for i in range(3)])
  two = _generation(tmp_path, "b", "c", [(0, 20, "random")])
  three = _generation(tmp_path, "c", "d", [(0, 20, "random")])
  chains = (None, _chain(one), _chain(two), _chain(one, two), _chain(two, one))
  prints = [
    loader.EpisodeIndex(three, earlier=chain).fingerprint for chain in chains
  ]
  assert len(set(prints)) == 5
  again = loader.EpisodeIndex(three, earlier=_chain(one, two)).fingerprint
  assert again == prints[3]


@pytest.mark.parametrize("grown", [False, True])
def test_equal_contents_stand_on_one_side(tmp_path, grown):
  # The same rows under other identities, by another and by the same behaviour.
  plans = [
    ("a", "m", [(n, 20 + n, "random") for n in range(40)]),
    ("b", "c", [(n, 20 + n, "demonstrator") for n in range(40)]),
    ("d", "z", [(n, 20 + n, "random") for n in range(0, 40, 2)]),
  ]
  some = [_generation(tmp_path, *plan) for plan in plans]
  generation = some[-1]
  sides = _chain(*some) if grown else _chain(generation)
  alone = splits.decide([e.header for _, e in generation.episodes()], 0.1)
  by_digest, apart = {}, {}
  for (_, entry), side in zip(generation.episodes(), alone, strict=True):
    held_out = sides.held_out[entry.header.episode_id]
    by_digest.setdefault(entry.digest, set()).add(held_out)
    apart.setdefault(entry.digest, set()).add(side)
  assert len(by_digest) == 40
  assert any(len(both) == 2 for both in apart.values())  # by the ids alone
  assert all(len(both) == 1 for both in by_digest.values())
  held_out = sum(True in both for both in by_digest.values())
  assert 0 < held_out < 20
  assert sides.repeats


def test_a_repeat_of_an_episode_that_is_gone_takes_its_side(tmp_path):
  one = _generation(
    tmp_path / "1", "a", "m", [(n, 20, "random") for n in range(9)]
  )
  for name in "cdxyz":
    two = _generation(
      tmp_path / name, "a", name, [(n, 20, "random") for n in range(9)]
    )
    train, val = _sides(two, _chain(one))
    sides = _chain(one).held_out
    for n in range(9):
      side = sides[fakes.header(n, collection="m").episode_id]
      there = fakes.header(n, collection=name).episode_id
      assert there in (val if side else train)


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_of_one_episode_are_all_training(tmp_path, copies):
  for name in "abc"[:copies]:
    generation = _generation(tmp_path, name, name, [(0, 20, "random")])
  train, val = _sides(generation)
  assert (len(train), len(val)) == (copies, 0)
  # With one more content there are two sides, and the copies are on one.
  generation = _generation(tmp_path, "d", "d", [(1, 20, "random")])
  assert sorted(map(len, _sides(generation))) == [1, copies]


def test_equal_contents_are_named_in_the_fingerprint_and_no_others(tmp_path):
  episodes = [(n, 20, "random") for n in range(3)]
  one = _generation(tmp_path, "a", "m", episodes)
  assert not loader.EpisodeIndex(one).sides.repeats
  # As before equal contents were put together.
  parts = [one.content_digest, "train", splits.VALIDATION_SHARE]
  digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
  assert loader.EpisodeIndex(one).fingerprint == digest
  two = _generation(tmp_path, "b", "c", episodes)
  parts[0] = two.content_digest
  digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
  assert loader.EpisodeIndex(two).fingerprint != digest


def _rounds(behaviour, count):
  """Sides of rounds of two episodes, each decided as it comes."""
  sides, headers = {}, []
  for number in range(count):
    name = behaviour.format(number, 500 * number)
    headers += [fakes.header(i, name, f"c{number:03d}") for i in range(2)]
    decided = splits.decide(headers, 0.1, sides)
    names = [header.episode_id for header in headers]
    assert list(sides.values()) == decided[:-2]  # none changes its side
    sides = dict(zip(names, decided, strict=True))
  return list(sides.values())


def test_rounds_beside_a_learner_are_one_behaviour():
  sides = _rounds("policy:ab12:round={}@{}:eps=0.1", 100)
  assert sides[:2].count(True) == 1
  assert 8 < sides.count(True) < 34  # 0.1 of 199, three deviations each way
  # Another run, and other noise, are others.
  for other in ("policy:cd34:round=7@9:eps=0.1", "policy:ab12:round=7@9"):
    headers = [
      fakes.header(i, name, name)
      for name in ("policy:ab12:round=6@9:eps=0.1", other)
      for i in range(2)
    ]
    assert splits.decide(headers, 1e-9) == [True, False] * 2


def test_rounds_recorded_before_they_had_names_keep_their_sides():
  # Then every round was a behaviour of its own, which held one out.
  sides = _rounds("policy:ab12@{1}:eps=0.1", 20)
  assert all(any(sides[i : i + 2]) for i in range(0, 40, 2))


def test_a_share_out_of_range_is_named():
  with pytest.raises(ValueError, match=r"val_share: 1\.5"):
    splits.Sides(1.5)
