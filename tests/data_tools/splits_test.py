"""Held-out episodes: some on both sides, and no way from one to the other."""

import pytest

from data_tools import generations
from data_tools import loader
from data_tools import splits
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
    tmp_path, "b", "c", [(i, 20, _KINDS[i % 2]) for i in range(6)]
  )
  third = _generation(tmp_path, "d", "a", [(0, 20, "human"), (1, 20, "random")])
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
  two = _generation(tmp_path, "b", "c", [(0, 20, "random")])
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


def test_a_share_out_of_range_is_named():
  with pytest.raises(ValueError, match=r"val_share: 1\.5"):
    splits.Sides(1.5)
