import itertools

import numpy as np
import pytest

from data_tools.records import chunk_reader
from data_tools.records import generations
from data_tools.records import loader
from pokedreamer_jax import specs
from tests.data_tools import fakes

_LENGTHS = {0: 200, 1: 64, 2: 65, 3: 16, 4: 10, 5: 130, 6: 63, 7: 128}
_KINDS = ("random", "demonstrator:eps=0.1")
_EPISODES = [(i, n, _KINDS[i % 2]) for i, n in _LENGTHS.items()]
_T = 16


@pytest.fixture(scope="module")
def generation(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  fakes.write(directory, "a", _EPISODES, per_shard=3)
  return generations.freeze(directory)


@pytest.fixture(scope="module")
def index(generation):
  return loader.EpisodeIndex(generation, "all")


def _assert_equal(left, right):
  assert set(left) == set(right)
  for name in left:
    np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_few_shards_are_open_at_a_time(generation, index, monkeypatch):
  assert len(generation.shards) > 1
  monkeypatch.setattr(chunk_reader, "_MOST_OPEN", 1)
  sparing = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  for _ in range(2):  # a shard that was closed is opened again
    for i, (_, rows) in enumerate(sparing.episodes()):
      _assert_equal(rows, index.read(i, 0, len(rows["frame"])))
      assert len(sparing._chunks._readers) == 1


def test_episodes_come_whole_and_in_order(index):
  for i, (header, rows) in enumerate(index.episodes()):
    assert header == fakes.header(*_EPISODES[i][::2])
    _assert_equal(rows, fakes.steps(_LENGTHS[i], i))


def test_parts_of_an_episode_are_slices_of_it(index):
  whole = fakes.steps(200, 0)
  for start, stop in [(0, 1), (63, 65), (64, 128), (150, 200)]:
    part = index.read(0, start, stop, ("frame", "x"))
    _assert_equal(part, {k: whole[k][start:stop] for k in ("frame", "x")})
  with pytest.raises(ValueError, match="it has 200 steps"):
    index.read(0, 190, 201)


def test_windows_are_slices_of_one_episode(index):
  source = loader.BatchSource(index, 32, _T, seed=1)
  for j in range(20):
    batch = source[j]
    for row in range(32):
      episode = int(batch["map_id"][row, 0])
      start = int(batch["money"][row, 0])
      whole = fakes.steps(_LENGTHS[episode], episode)
      for name in specs.STEP_FIELD_NAMES:
        np.testing.assert_array_equal(
          batch[name][row], whole[name][start : start + _T]
        )
      expected = whole["action"][start - 1] if start else specs.PASS
      assert batch["first_action_tm1"][row] == expected


def test_every_start_is_drawn_about_equally_often(index):
  source = loader.BatchSource(index, 64, _T, seed=3, fields=("map_id", "money"))
  valid = {(i, s) for i, n in _LENGTHS.items() for s in range(n - _T + 1)}
  assert source.num_starts == len(valid) == 561
  assert source.too_short == 1
  assert source.too_short_episodes == [
    "episode 4 of made-up (random): 10 steps"
  ]
  counts = {}
  for j in range(400):
    batch = source[j]
    for pair in zip(batch["map_id"][:, 0], batch["money"][:, 0], strict=True):
      counts[pair] = counts.get(pair, 0) + 1
  assert set(counts) == valid
  # Mean 45; for 561 Poisson counts all lie within 5.5 deviations.
  mean = 400 * 64 / 561
  assert max(abs(np.array(list(counts.values())) - mean)) < 5.5 * mean**0.5


def test_batch_j_is_a_pure_function_of_its_number(generation, index):
  source = loader.BatchSource(index, 8, _T, seed=1)
  again = loader.BatchSource(
    loader.EpisodeIndex(generation, "all", cache_bytes=0), 8, _T, seed=1
  )
  for j in (5, 0, 5, 123456):
    _assert_equal(source[j], again[j])
  assert (source[0]["money"] != source[1]["money"]).any()
  other = loader.BatchSource(index, 8, _T, seed=2)
  assert (source[0]["money"] != other[0]["money"]).any()


def test_half_batches_of_two_processes_make_one_batch(index):
  whole = loader.BatchSource(index, 8, _T, seed=1)[7]
  halves = [
    loader.BatchSource(index, 8, _T, 1, process_index=p, process_count=2)[7]
    for p in range(2)
  ]
  joined = {k: np.concatenate([half[k] for half in halves]) for k in whole}
  _assert_equal(joined, whole)


def test_batches_do_not_depend_on_how_shards_were_cut(tmp_path, index):
  fakes.write(tmp_path, "x", _EPISODES[::-1], per_shard=1)
  other = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  left = loader.BatchSource(index, 8, _T, seed=1)
  right = loader.BatchSource(other, 8, _T, seed=1)
  assert left.fingerprint == right.fingerprint
  _assert_equal(left[3], right[3])


def test_reading_ahead_can_start_anywhere(index):
  source = loader.BatchSource(index, 4, _T, seed=1)
  for start in (0, 1, 5, 1000):
    ahead = loader.batches(source, start, num_threads=3, prefetch=4)
    for j, batch in enumerate(itertools.islice(ahead, 6), start):
      _assert_equal(batch, source[j])


def test_nothing_is_read_beyond_the_end(index):
  source = loader.BatchSource(index, 4, _T, seed=1)
  read = []

  class Watched(loader.BatchSource):
    def __getitem__(self, j):
      read.append(int(j))
      return super().__getitem__(j)

  watched = Watched(index, 4, _T, seed=1)
  some = list(loader.batches(watched, 3, stop=8))
  assert sorted(read) == [3, 4, 5, 6, 7]
  for j, batch in enumerate(some, 3):
    _assert_equal(batch, source[j])
  assert list(loader.batches(source, 8, stop=8)) == []


def test_the_fingerprint_tells_changed_data_and_settings(tmp_path, index):
  def fingerprint(index, batch_size=8, seq_len=_T, seed=1, **kwargs):
    source = loader.BatchSource(index, batch_size, seq_len, seed, **kwargs)
    return source.fingerprint

  fakes.write(tmp_path, "a", _EPISODES[:-1])
  fewer = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  train = loader.EpisodeIndex(index.generation, "train")
  prints = {
    fingerprint(index),
    fingerprint(fewer),
    fingerprint(train),
    fingerprint(index, batch_size=4),
    fingerprint(index, seq_len=8),
    fingerprint(index, seed=2),
  }
  assert len(prints) == 6
  shared = fingerprint(index, process_index=1, process_count=2)
  assert shared == fingerprint(index)


def test_an_epoch_is_as_many_windows_as_there_are_starts(index):
  # 561 starts in batches of 8: 70.125
  assert loader.BatchSource(index, 8, _T, seed=1).batches_per_epoch == 71


def test_train_and_validation_share_no_episode(generation):
  parts = {
    split: {
      h.episode_id for h in loader.EpisodeIndex(generation, split).headers
    }
    for split in loader.SPLITS
  }
  assert parts["train"] | parts["val"] == parts["all"]
  assert not parts["train"] & parts["val"]
  kinds = {h.behaviour for h in loader.EpisodeIndex(generation, "val").headers}
  assert kinds == set(_KINDS)


def test_fixed_windows_are_fixed_distinct_and_spread(index):
  first = loader.fixed_windows(index, _T, 100, seed=4)
  _assert_equal(first, loader.fixed_windows(index, _T, 100, seed=4))
  pairs = set(zip(first["map_id"][:, 0], first["money"][:, 0], strict=True))
  assert len(pairs) == 100
  assert {e for e, _ in pairs} >= {0, 1, 2, 5, 6, 7}
  every = loader.fixed_windows(index, _T, 10_000, fields=("money",))
  assert len(every["money"]) == 561


def test_bad_arguments_are_named(generation, index):
  with pytest.raises(ValueError, match="split: 'test'"):
    loader.EpisodeIndex(generation, "test")
  with pytest.raises(ValueError, match="val_share: 1"):
    loader.EpisodeIndex(generation, "val", 1.0)
  with pytest.raises(ValueError, match="equal shares"):
    loader.BatchSource(index, 9, _T, 0, 0, 2)
  with pytest.raises(ValueError, match=r"fields: \['frames'\]"):
    loader.BatchSource(index, 8, _T, 0, fields=("frames",))
  with pytest.raises(ValueError, match="longest: 200 steps"):
    loader.BatchSource(index, 8, 201, 0)


def test_a_shard_damaged_after_the_freeze_is_named(tmp_path):
  names = fakes.write(tmp_path, "a", [(0, 640, "random")])
  index = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  path = tmp_path / generations.SHARDS_DIR / names[0]
  data = bytearray(path.read_bytes())
  for place in range(1000, len(data) // 2, 1000):
    data[place] ^= 1
  path.write_bytes(data)
  with pytest.raises(ValueError, match=names[0]):
    list(index.episodes())


def test_a_record_without_a_field_is_named(tmp_path, monkeypatch):
  names = fakes.write(tmp_path, "a", [(0, 70, "random")])
  index = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  decode = loader.shards.decode

  def of_another_version(blob):
    rows, header = decode(blob)
    return {k: v for k, v in rows.items() if k != "money"}, header

  monkeypatch.setattr(loader.shards, "decode", of_another_version)
  assert index.read(0, 0, 70, ["frame"])["frame"].shape == (70, 144, 40)
  with pytest.raises(ValueError, match=rf"{names[0]}.*no field 'money'"):
    index.read(0, 0, 70)
