"""The reader tells places from pictures, and keeps silent elsewhere."""

import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import place_reader
from tests.pokedreamer_jax import fakes


def _rows(count, seed=3):
  rows = specs.empty_steps(count)
  rows["frame"] = fakes.screens(count, seed=seed).copy()
  rows["game_running"][:] = True
  rows["map_id"][:] = np.arange(count) % 5
  rows["y"][:] = np.arange(count) // 2
  rows["x"][:] = 200 + np.arange(count)
  return rows


def _change(frame, tiles, seed=0):
  """A frame with some of its 360 tiles inverted."""
  grid = frame.copy().reshape(18, 8, 20, 2)
  chosen = np.random.default_rng(seed).permutation(360)[:tiles]
  grid[chosen // 20, :, chosen % 20] ^= 0xFF
  return grid.reshape(144, 40)


def _taught(*pieces, **kwargs):
  training = place_reader.TrainingFrames(**kwargs)
  for rows in pieces:
    training.add(rows)
  return training


def _places(rows):
  return np.stack([rows[name] for name in ("map_id", "y", "x")], axis=-1)


def test_known_frames_and_nearly_known_ones_give_their_place():
  rows = _rows(10)
  reader = _taught(rows).reader()
  nearly = np.stack([_change(frame, 30) for frame in rows["frame"]])
  for frames in (rows["frame"], nearly):  # 30 of 360: 91.7 % alike
    seen = reader.read(frames.reshape(2, 5, 144, 40))
    assert seen.sure.shape == (2, 5)
    assert seen.sure.all()
    np.testing.assert_array_equal(seen.place.reshape(10, 3), _places(rows))


def test_it_refuses_what_is_not_near():
  rows = _rows(10)
  far = np.stack([_change(frame, 40) for frame in rows["frame"]])  # 88.9 %
  assert not _taught(rows).reader().read(far).sure.any()


def test_it_refuses_where_two_places_look_alike():
  rows = _rows(4)
  rows["frame"][1] = rows["frame"][0]  # the same picture, two places
  rows["frame"][3] = _change(rows["frame"][2], 2)  # nearly the same
  seen = _taught(rows).reader().read(rows["frame"])
  assert not seen.sure.any()


@pytest.mark.parametrize("field,value", [("in_battle", 1), ("game_running", 0)])
def test_it_does_not_speak_of_battles_and_titles(field, value):
  rows = _rows(6)
  rows[field][2:4] = value
  seen = _taught(rows).reader().read(rows["frame"])
  assert seen.sure.tolist() == [True, True, False, False, True, True]


def test_nobody_reads_an_unknown_game():
  rows = _rows(4)
  rows["game_running"][:] = False
  training = _taught(rows)
  assert training.reader() is None
  assert training.contains(rows["frame"]).all()


def test_what_training_showed_is_known_to_the_pixel():
  rows = _rows(6)
  training = _taught(
    {name: value[:3] for name, value in rows.items()},
    {name: value[2:5] for name, value in rows.items()},
  )
  assert len(training) == 5
  found = training.contains(rows["frame"].reshape(2, 3, 144, 40))
  assert found.tolist() == [[True, True, True], [True, True, False]]
  other = rows["frame"][0].copy()
  other[100, 3] ^= 0b100
  assert not training.contains(other)


def test_memory_is_bounded_whatever_the_order():
  rows = _rows(60)
  pieces = [
    {name: value[at : at + 7] for name, value in rows.items()}
    for at in range(0, 60, 7)
  ]
  forward = _taught(*pieces, most_frames=10)
  backward = _taught(*pieces[::-1], most_frames=10)
  readers = [training.reader() for training in (forward, backward)]
  seen = [reader.read(rows["frame"]) for reader in readers]
  assert [len(reader) for reader in readers] == [10, 10]
  assert seen[0].sure.sum() == 10
  np.testing.assert_array_equal(seen[0].sure, seen[1].sure)
  assert len(forward) == 60  # but every frame is known


def test_scores_of_what_is_read():
  rows = _rows(4)
  reader = _taught(rows).reader()
  frames = rows["frame"][[0, 1, 2, 3]].copy()
  frames[3] = 0  # nothing like it
  truth = _places(rows).astype(int)
  truth[1, 1] += 3  # the picture shows a place three tiles off
  truth[2, 0] = 77  # and here another map
  told = _places(rows)
  told[0, 2] += 1  # the tokens disagree with the picture
  found = place_reader.read_scores(reader, frames, truth, told)
  np.testing.assert_array_equal(found["read_tiles"], [0, 3, 20, np.nan])
  np.testing.assert_array_equal(found["read_map"], [1, 1, 0, np.nan])
  np.testing.assert_array_equal(found["read_agrees"], [0, 1, 1, np.nan])
  np.testing.assert_array_equal(found["read_share"], [1, 1, 1, 0])
  # Where the real frame shows its place, a blurred one is as bad as a wrong
  # map; where it does not, nobody is asked.
  asked = np.array([True, True, False, True])
  found = place_reader.read_scores(reader, frames, truth, told, asked)
  np.testing.assert_array_equal(found["read_tiles"], [0, 3, np.nan, 20])
  np.testing.assert_array_equal(found["read_map"], [1, 1, np.nan, 0])
  np.testing.assert_array_equal(found["read_agrees"], [0, 1, 1, np.nan])
  np.testing.assert_array_equal(found["read_share"], [1, 1, 1, 0])


def test_the_quick_search_finds_what_a_whole_one_finds():
  rng = np.random.default_rng(0)
  codes = rng.integers(0, 50, (40, 360)).astype(np.uint16)
  codes[20:] = codes[:20]  # the same pictures again, changed in a few tiles
  for row in range(20, 40):
    changed = rng.choice(360, rng.integers(0, 8), replace=False)
    codes[row, changed] = 99
  places = rng.integers(0, 3, 40)
  reader = place_reader.PlaceReader(codes, places)
  told = 0
  for row in range(40):
    for count in (0, 3, 30, 36, 37, 60):
      code = codes[row].copy()
      code[rng.choice(360, count, replace=False)] = 77
      alike = (codes == code).sum(axis=1)
      asked = set(places[alike >= alike.max() - 3])
      sure = alike.max() >= 324 and len(asked) == 1
      expected = asked.pop() if sure else -1
      assert reader._read_one(code) == expected
      told += sure
  assert 40 < told < 200


def _brute_force(codes, places, code):
  """What `PlaceReader` says, frame by frame: the place as a number or -1."""
  alike = (codes == code).sum(axis=1)
  asked = places[alike >= alike.max() - 3]  # 1 % of 360 tiles
  told = alike.max() >= 324 and (asked == asked[0]).all()
  return asked[0] if told else -1


def test_the_short_way_to_the_nearest_is_the_long_one():
  rng = np.random.default_rng(0)
  # Families of frames that are nearly alike, with low bytes that are equal
  # although the tiles differ.
  codes = np.repeat(rng.integers(0, 3, (8, 360)).astype(np.uint16), 60, axis=0)
  places = np.repeat(rng.integers(0, 4, 8), 60)
  places[rng.random(480) < 0.1] = -1
  for row in codes:
    at = rng.choice(360, rng.integers(0, 50), replace=False)
    row[at] += rng.choice(np.array([1, 256], np.uint16), len(at))
  reader = place_reader.PlaceReader(codes, places)
  asked = codes[rng.integers(0, 480, 300)].copy()
  for row in asked:
    at = rng.choice(360, rng.integers(0, 45), replace=False)
    row[at] += rng.choice(np.array([1, 256], np.uint16), len(at))
  found = [reader._nearest(code) for code in asked]
  assert found == [_brute_force(codes, places, code) for code in asked]
  assert 30 < np.sum(np.array(found) >= 0) < 270


@pytest.mark.parametrize("tile", [0, 1, 2])  # the first is compared first
def test_a_twin_elsewhere_silences_it_wherever_they_differ(tile):
  codes = np.zeros((2, 360), np.uint16)
  codes[1, tile] = 1
  reader = place_reader.PlaceReader(codes, np.array([7, 8]))
  assert [reader._nearest(code) for code in codes] == [-1, -1]
