"""Batches of growing data: when they change, and what is refused."""

import dataclasses
import itertools
import re
from unittest import mock

import numpy as np
import pytest

from data_tools.records import generations
from data_tools.records import loader
from experiments.runs import adoptions
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.training import world_model_data
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.frames import tiles
from tests.data_tools import fakes as data_fakes

_FIRST = [(n, 60 + n, "random") for n in range(4)]
# Sorts before the first data and would turn the held-out episodes round.
_B = ("b", [(n, 50 + n, "random") for n in range(3)], 2, "b")
_C = ("c", [(n, 70 + n, "sticky_random") for n in range(3)], 2, "a")


@pytest.fixture
def data(tmp_path):
  data_fakes.write(tmp_path / "data", "a", _FIRST)
  return tmp_path / "data"


def _experience(data, workdir, refresh_every=4):
  config = presets.make("debug", [f"train.refresh_every={refresh_every}"])
  generation = inputs.open_generation(str(data), workdir)
  values = config_lib.to_dict(config) | inputs.describe(generation)
  free = ("train.refresh_every",)
  with run_directory.open_run(
    workdir, "world_model", values, free, graceful=False
  ) as run:
    return world_model_data.Experience(config, generation, run)


def _take(batches, count):
  return list(itertools.islice(batches, count))


def _equal(left, right):
  assert len(left) == len(right)
  for one, other in zip(left, right, strict=True):
    assert one.keys() == other.keys()
    for name in one:
      np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def _grown(data, workdir, table=None):
  """Twelve batches, with more data before those numbered 4 and 10."""
  batches = _experience(data, workdir).batches(0, table)
  found = _take(batches, 3)
  data_fakes.write(data, *_B)
  found += _take(batches, 6)
  data_fakes.write(data, *_C)
  return found + _take(batches, 6)


def test_a_batch_is_of_the_generation_in_force(data, tmp_path):
  found = _grown(data, tmp_path / "run")
  record = adoptions.read(tmp_path / "run")
  assert [item.update for item in record.adopted] == [4, 12]
  assert record.looked_until == 12
  experience = _experience(data, tmp_path / "run")
  sources = [experience.source]
  for update in (5, 13):
    experience = _experience(data, tmp_path / "run")
    experience.resume(update)
    sources.append(experience.source)
  expected = [
    sources[0 if j < 4 else 1 if j < 12 else 2][j] for j in range(len(found))
  ]
  _equal(found, expected)
  names = [source.fingerprint for source in sources]
  assert [item.source for item in record.adopted] == names[1:]
  prints = [experience.fingerprint(update) for update in (1, 4, 5, 12, 13, 99)]
  assert prints == [names[n] for n in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize("start", [0, 3, 4, 5, 8, 12, 14])
@pytest.mark.parametrize("every", [0, 4, 3])
def test_a_resumed_run_reads_the_same_batches(data, tmp_path, start, every):
  found = _grown(data, tmp_path / "run")
  data_fakes.write(data, "d", [(n, 40, "random") for n in range(4)], 2, "d")
  experience = _experience(data, tmp_path / "run", every)
  experience.resume(start)
  again = _take(experience.batches(start), len(found) - start)
  _equal(again, found[start:])
  # Whatever the schedule is now, it holds only for what lies ahead.
  assert adoptions.read(tmp_path / "run").looked_until == 12


def test_nothing_is_read_ahead_across_a_look(data, tmp_path, monkeypatch):
  read = []
  getitem = loader.BatchSource.__getitem__

  def watched(self, j):
    read.append((self.num_starts, int(j)))
    return getitem(self, j)

  monkeypatch.setattr(loader.BatchSource, "__getitem__", watched)
  experience = _experience(data, tmp_path / "run")
  few = experience.source.num_starts
  batches = experience.batches(0)
  _take(batches, 4)
  assert sorted(read) == [(few, j) for j in range(4)]
  data_fakes.write(data, *_B)
  _take(batches, 4)
  more = experience.source.num_starts
  assert more > few
  assert sorted(read[4:]) == [(more, j) for j in range(4, 8)]


def test_the_record_is_there_before_the_first_batch(
  data, tmp_path, monkeypatch
):
  batches = _experience(data, tmp_path / "run").batches(0)
  _take(batches, 4)
  data_fakes.write(data, *_B)
  seen = []
  getitem = loader.BatchSource.__getitem__

  def watched(self, j):
    seen.append(adoptions.read(tmp_path / "run").at(4))
    return getitem(self, j)

  monkeypatch.setattr(loader.BatchSource, "__getitem__", watched)
  next(batches)
  assert seen and all(item is not None for item in seen)


def test_an_adoption_is_announced_before_its_first_batch(data, tmp_path):
  run = tmp_path / "run"
  experience = _experience(data, run)
  heard = []

  def adopted():
    assert adoptions.read(run).adopted[-1].update == len(found)
    heard.append((len(found), [path.stem for path in experience.history]))

  found, batches = [], experience.batches(0, None, adopted)
  for number in range(14):
    if number in (1, 9):
      data_fakes.write(data, *(_B if number == 1 else _C))
    found.append(next(batches))
  names = [path.stem for path in experience.history]
  first = inputs.open_generation(str(data), run).digest
  record = adoptions.read(run)
  assert names == [first, *(item.generation for item in record.adopted)]
  assert heard == [(4, names[:2]), (12, names)]
  # The same for a run that goes on in between.
  again = _experience(data, run)
  again.resume(6)
  assert [path.stem for path in again.history] == names[:2]


def test_never_looking_is_the_default(data, tmp_path):
  assert config_lib.Config().train.refresh_every == 0
  experience = _experience(data, tmp_path / "run", 0)
  batches = experience.batches(0)
  found = _take(batches, 3)
  data_fakes.write(data, *_B)
  found += _take(batches, 9)
  _equal(found, [experience.source[j] for j in range(12)])
  assert not (tmp_path / "run" / adoptions.FILE).exists()


def test_an_adoption_is_told_with_what_it_adds(data, tmp_path):
  index = loader.EpisodeIndex(generations.freeze(data))
  table = tiles.build((rows["frame"] for _, rows in index.episodes()), 300)
  _grown(data, tmp_path / "run", table)
  lines = (tmp_path / "run" / "log.txt").read_text().splitlines()
  assert len(lines) == 2
  new = [data_fakes.steps(50 + n, n)["frame"] for n in range(3)]
  share = tiles.escape_share(table, np.concatenate(new))
  assert 0.9 < share < 1
  assert re.fullmatch(
    r"update 4: adopted generation [0-9a-f]{16}, 3 more episodes and \+153 "
    rf"steps; now 5 to train on, 2 held out; {share:.2%} of the tiles in 153 "
    r"new frames are not in the dictionary, which stays that of the first "
    r"generation",
    lines[0],
  ), lines[0]
  assert "3 more episodes and +213 steps" in lines[1]


def test_what_was_lost_is_told_too(data, tmp_path):
  batches = _experience(data, tmp_path / "run").batches(0)
  _take(batches, 4)
  data_fakes.write(data, *_B)
  shards = sorted((data / generations.SHARDS_DIR).glob("a-*.json"))
  shards[0].write_text("{")
  next(batches)
  text = (tmp_path / "run" / "log.txt").read_text()
  assert "3 more episodes and +32 steps; 2 episodes are gone" in text
  assert "1 files left out" in text


def test_what_is_damaged_is_named_and_what_is_unfinished_counted(
  data, tmp_path
):
  batches = _experience(data, tmp_path / "run").batches(0)
  _take(batches, 4)
  data_fakes.write(data, *_B)
  # Each shard is one episode; twelve of them are damaged, one has no manifest.
  more = [(n, 40 + n, "random") for n in range(13)]
  data_fakes.write(data, "e", more, per_shard=1, collection="e")
  shards = data / generations.SHARDS_DIR
  *damaged, unfinished = sorted(shards.glob("e-*.json"))
  for path in damaged:
    path.write_text("{")
  unfinished.unlink()
  next(batches)
  text = (tmp_path / "run" / "log.txt").read_text()
  assert "13 files left out" in text
  named = [line for line in text.splitlines() if "left out: " in line]
  assert len(named) == 10
  for path, line in zip(damaged, named, strict=False):
    assert line.strip().startswith(f"left out: {path.name}: damaged manifest")
  assert unfinished.stem not in text


def test_a_recorded_generation_that_is_not_there_as_it_was(data, tmp_path):
  run = tmp_path / "run"
  _grown(data, run)
  record = adoptions.read(run)
  folder = data / generations.GENERATIONS_DIR
  path = folder / f"{record.adopted[0].generation}.json"
  text = path.read_text()
  for damage in (path.unlink, lambda: path.write_text(text[:-100])):
    damage()
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
      _experience(data, run).resume(9)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=re.escape(str(path))):
      _take(_experience(data, run).batches(3), 2)
    _experience(data, run).resume(4)  # before it was adopted
  path.write_text(text)
  wrong = adoptions.Adoption(4, record.adopted[0].generation, "0" * 16)
  adoptions.write(run, adoptions.Record(4, (wrong,)))
  with pytest.raises(ValueError, match="other batches than recorded"):
    _experience(data, run).resume(9)
  (run / adoptions.FILE).write_text('{"looked_until": 4, "adopted": [{}]}')
  with pytest.raises(ValueError, match=rf"{adoptions.FILE}: adopted: damaged"):
    _experience(data, run)


def test_episodes_of_another_game_are_refused(data, tmp_path):
  batches = _experience(data, tmp_path / "run").batches(0)
  _take(batches, 4)
  other = dataclasses.replace(
    data_fakes.header(9, "random", "x"), rom_sha1="f" * 40
  )
  with mock.patch.object(data_fakes, "header", lambda *_: other):
    data_fakes.write(data, "x", [(9, 50, "random")])
  with pytest.raises(ValueError, match=f"SHA-1 {'f' * 40}, the run began"):
    next(batches)
  assert adoptions.read(tmp_path / "run") == adoptions.Record()


def _checkpoint(run, step):
  folder = run / "checkpoints" / str(step)
  folder.mkdir(parents=True)
  whole_files.write_list(folder, {"step": step})


def test_a_checkpoint_is_named_by_the_data_before_it(data, tmp_path):
  run = tmp_path / "run"
  _experience(data, run)
  _checkpoint(run, 8)
  name = inputs.fingerprint(str(run))
  other = adoptions.Adoption(8, "a", "b")
  adoptions.write(run, adoptions.Record(8, (other,)))
  assert inputs.fingerprint(str(run)) == name  # adopted after that update
  _checkpoint(run, 9)
  later = inputs.fingerprint(str(run))
  assert later["config"] != name["config"] and later["step"] == 9


def test_data_that_is_adopted_is_without_the_maps_as_well(data, tmp_path):
  # An episode is on the map of its number, in the rows where the game runs.
  data_fakes.write(data, *_B)
  config = presets.make("debug", ["train.leave_out_maps=1"])
  config = dataclasses.replace(
    config, train=dataclasses.replace(config.train, seq_len=2, refresh_every=4)
  )
  generation = inputs.open_generation(str(data), tmp_path / "run")
  values = config_lib.to_dict(config) | inputs.describe(generation)
  with run_directory.open_run(
    tmp_path / "run", "world_model", values, graceful=False
  ) as run:
    batches = world_model_data.Experience(config, generation, run).batches(0)
  found = _take(batches, 3)
  data_fakes.write(data, *_C)
  found += _take(batches, 30)
  maps = np.concatenate([batch["map_id"].ravel() for batch in found])
  running = np.concatenate([batch["game_running"].ravel() for batch in found])
  assert (maps == 1).any() and not running[maps == 1].any()
  assert {0, 2} <= set(maps[running].tolist())
  text = (tmp_path / "run" / "log.txt").read_text()
  assert text.count("maps 1 are left out: ") == 2
