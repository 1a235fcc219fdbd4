"""Maps left out: no window and no counted row is on them, all else stays."""

from unittest import mock

import numpy as np
import pytest

from data_tools.records import generations
from data_tools.records import left_out
from data_tools.records import loader
from tests.data_tools import fakes

_T = 6
_LENGTHS = (90, 40, 5, 70, 64)
_made_up = fakes.steps


def _steps(length, episode=0):
  """Rows that walk between maps 1 to 4; the title screen says 3."""
  rows = _made_up(length, episode)
  rng = np.random.default_rng(episode)
  stays = rng.integers(3, 15, length)
  maps = np.repeat(rng.integers(1, 5, length), stays)[:length]
  rows["map_id"][:] = maps if episode != 4 else 2
  rows["game_running"][:] = True
  rows["map_id"][:3], rows["game_running"][:3] = 3, False
  return rows


@pytest.fixture(scope="module")
def generation(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, length, "random") for n, length in enumerate(_LENGTHS)]
  with mock.patch.object(fakes, "steps", _steps):
    fakes.write(directory, "a", episodes)
  return generations.freeze(directory)


def _index(generation, *maps):
  return loader.EpisodeIndex(generation, "all", leave_out_maps=maps)


def _valid(maps):
  """Every (episode, first row) of a window without the maps, one by one."""
  found = []
  for episode, length in enumerate(_LENGTHS):
    rows = _steps(length, episode)
    for start in range(length - _T + 1):
      window = range(start, start + _T)
      if not any(
        rows["game_running"][t] and rows["map_id"][t] in maps for t in window
      ):
        found.append((episode, start))
  return found


@pytest.mark.parametrize("maps", [(), (3,), (2, 4)])
def test_windows_are_all_those_without_the_maps(generation, maps):
  index = _index(generation, *maps)
  expected = _valid(maps)
  assert expected and (not maps or len(expected) < len(_valid(())))
  places = loader.fixed_places(index, _T, 10_000)
  assert places == expected
  assert loader.BatchSource(index, 4, _T, 0).num_starts == len(expected)
  at = loader.windows_at(index, places, _T, ("map_id",))
  every = loader.fixed_windows(index, _T, 10_000, fields=("map_id",))
  for name in every:
    np.testing.assert_array_equal(at[name], every[name])
  for (episode, start), row in zip(places, every["map_id"], strict=True):
    whole = _steps(_LENGTHS[episode], episode)["map_id"]
    np.testing.assert_array_equal(row, whole[start : start + _T])


def test_batches_hold_no_row_on_the_maps_and_repeat(generation):
  source = loader.BatchSource(_index(generation, 2, 3), 32, _T, 1)
  again = loader.BatchSource(_index(generation, 3, 2), 32, _T, 1)
  for j in (0, 7, 1 << 20):
    batch, same = source[j], again[j]
    assert not left_out.on_maps(batch, (2, 3)).any()
    for name in batch:
      np.testing.assert_array_equal(batch[name], same[name])
  assert source.fingerprint == again.fingerprint
  others = [_index(generation), _index(generation, 2), _index(generation, 3)]
  prints = {loader.BatchSource(o, 32, _T, 1).fingerprint for o in others}
  assert len(prints | {source.fingerprint}) == 4


def test_rows_are_kept_or_left_out_and_never_both(generation):
  index = _index(generation, 2, 4)
  kept = list(index.kept(("map_id", "game_running", "money"), 10))
  out = list(index.kept(("map_id", "game_running", "money"), instead=True))
  assert max(len(part["money"]) for part in kept) == 10
  assert not any(left_out.on_maps(part, (2, 4)).any() for part in kept)
  assert all(left_out.on_maps(part, (2, 4)).all() for part in out)
  numbers = np.concatenate([part["money"] for part in kept + out])
  expected = np.concatenate([np.arange(length) for length in _LENGTHS])
  np.testing.assert_array_equal(np.sort(numbers), np.sort(expected))
  assert list(_index(generation).kept(("money",), instead=True)) == []


def test_nothing_left_is_told_with_the_maps(generation):
  index = _index(generation, 1, 2, 3, 4)
  with pytest.raises(ValueError, match=r"without maps \[1, 2, 3, 4\]"):
    loader.BatchSource(index, 4, _T, 0)
