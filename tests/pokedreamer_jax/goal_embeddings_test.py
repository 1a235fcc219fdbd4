"""Vectors of goals: fixed, apart, and near where goals are alike."""

import hashlib

import numpy as np
import pytest

from data_tools.game import goal_catalogue
from data_tools.game import roms
from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax.goal_specs import Goal

# SHA-256 of the vectors of `_fixed`: whoever trained on them reads these.
_GOLDEN = "4aa4cf6dec24ef576e58fd55462d5e09860515642eff16dbd907c154a880d6fb"


def _goals(world, tiles=True):
  return goal_catalogue.catalogue(roms.resolve(world), tiles)


def _distances(goals):
  vectors = goal_embeddings.embed_goals(goals)
  return np.sqrt(np.maximum(2.0 - 2.0 * (vectors @ vectors.T), 0.0))


def _fixed():
  goals = [Goal(k) for k, w in goal_specs.WORDS.items() if w and "{" not in w]
  goals += [Goal("map", map_id=i) for i in range(256)]
  goals += [Goal("tile", 5, y=i, x=7 * i) for i in range(30)]
  goals += [Goal("badge"), *(Goal("badge", number=i) for i in range(8))]
  goals += [Goal(k, number=i) for k in ("own", "level") for i in range(1, 256)]
  return [*goals[1:], goal_specs.parse("find the lost key")]


def test_vectors_stay_as_they_are():
  goals = _fixed()
  vectors = goal_embeddings.embed_goals(goals)
  assert vectors.dtype == np.float32 and vectors.shape == (len(goals), 64)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
  digest = hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest()
  assert digest == _GOLDEN


def test_none_is_zero_and_no_goals_are_no_rows():
  assert not goal_embeddings.embed_goal(goal_specs.NONE).any()
  assert goal_embeddings.embed_goals([]).shape == (0, 64)


@pytest.mark.parametrize("world", roms.CARTRIDGES)
def test_no_two_goals_of_a_cartridge_are_alike(world):
  goals = [*_goals(world), *(Goal("level", number=n) for n in range(90, 100))]
  distance = _distances(goals) + 9 * np.eye(len(goals))
  nearest = distance.min(axis=1)
  assert nearest.min() > 0.15  # two neighbouring tiles
  assert 0.2 < np.median(nearest) < 0.5
  plain = len(_goals(world, tiles=False))
  nearest = (distance[:plain, :plain]).min(axis=1)
  assert nearest.min() > 0.25 and np.median(nearest) > 0.5


def test_all_bytes_are_told_apart():
  for goals in (
    [Goal("map", map_id=i) for i in range(256)],
    [Goal("own", number=i) for i in range(1, 256)],
    [Goal("level", number=i) for i in range(1, 256)],
    [Goal("tile", map_id=3, y=i, x=255 - i) for i in range(256)],
  ):
    distance = _distances(goals) + 9 * np.eye(len(goals))
    assert distance.min() > 0.05


def test_neighbouring_tiles_are_nearer_than_far_ones_and_other_maps():
  by_steps = {1: [], 3: [], 7: []}
  other_map = []
  for y, x in np.random.default_rng(0).integers(13, 40, (60, 2)).tolist():
    here = Goal("tile", map_id=7, y=y, x=x)
    for steps, found in by_steps.items():
      there = Goal("tile", map_id=7, y=y - steps, x=x)
      found.append(_distances([here, there])[0, 1])
    other_map.append(_distances([here, Goal("tile", map_id=8, y=y, x=x)])[0, 1])
  means = [np.mean(found) for found in by_steps.values()]
  assert means == sorted(means) and means[0] < 0.85 * means[1]
  assert np.mean(by_steps[1]) < 0.7 * np.mean(other_map)


def test_near_numbers_are_nearer():
  levels = [Goal("level", number=n) for n in range(5, 30)]
  distance = _distances(levels)
  mean = lambda steps: np.diagonal(distance, steps).mean()
  assert mean(1) < mean(2) < mean(4) < mean(8)


@pytest.mark.parametrize("world", roms.CARTRIDGES)
def test_goals_of_a_kind_are_nearer_than_others(world):
  goals = _goals(world)[::3]
  distance = _distances(goals)
  kinds = np.array([goal.kind for goal in goals])
  same = kinds[:, None] == kinds
  apart = ~np.eye(len(goals), dtype=bool)
  assert distance[same & apart].mean() < 0.8 * distance[~same].mean()


def test_kinds_of_a_family_are_nearer_than_strangers():
  wins, talk = ("win", "win_wild", "win_trainer", "win_leader"), "talk"
  distance = _distances([Goal(kind) for kind in (*wins, talk)])
  assert distance[:4, :4].max() < distance[4, :4].min()


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("beat the leader", "win leader battle"),
    ("catch a new one of the species", "catch new species"),
    ("earn that badge 0", "earn badge 0"),
    ("talk to somebody", "talk"),
    ("heal my party", "heal party"),
    ("win this trainer battle", "win trainer battle"),
    ("get to level 8", "reach level 8"),
    ("see and explore a new map", "explore new map"),
    ("get more capture items", "get capture item"),
    ("the story must advance", "advance story"),
    ("please reach map 5", "reach map 5"),
  ],
)
@pytest.mark.parametrize("world", roms.CARTRIDGES)
def test_free_words_lie_nearest_to_the_goal_they_name(world, text, words):
  goals = _goals(world, tiles=False)
  goal = goal_specs.parse(text)
  assert goal.kind == "text"
  vectors = goal_embeddings.embed_goals(goals)
  likeness = vectors @ goal_embeddings.embed_goal(goal)
  assert str(goals[int(np.argmax(likeness))]) == words
