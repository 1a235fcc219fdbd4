import dataclasses
import itertools

import numpy as np
import pytest

from data_tools.foreign import npz_files
from data_tools.foreign import npz_import
from data_tools.foreign import npz_steps
from data_tools.game import frame_codec
from data_tools.game import ram_addresses
from data_tools.game import rewards
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import replay
from pokedreamer_jax import specs
from tests.data_tools import fakes
from tests.data_tools.foreign import npz_files_test

_TERM = {name: i for i, name in enumerate(specs.REWARD_TERMS)}


def _import(directory, out, **options):
  return npz_import.import_files(npz_files.find(directory), out, **options)


def _episodes(out):
  index = loader.EpisodeIndex(generations.freeze(out), "all")
  return [steps for _, steps in index.episodes()], index


@pytest.mark.parametrize("ram", [True, False])
def test_episodes_are_cut_at_their_starts_and_go_on_in_the_next_file(
  tmp_path, ram
):
  # Starts at 0, 64, 65 and 140 of one stream in two files of 70 and 100 rows.
  arrays = npz_files_test.columns(170, ram=ram, starts=(0, 64, 65, 140))
  for number, part in ((1, slice(0, 70)), (2, slice(70, 170))):
    rows = {name: array[part] for name, array in arrays.items()}
    npz_files_test.write(tmp_path, number, rows)
  result = _import(tmp_path, tmp_path / "out")
  assert (result.files, result.steps, result.episodes) == (2, 170, 4)
  assert result.cut_starts == () and not result.stopped
  episodes, index = _episodes(tmp_path / "out")
  assert index.lengths.tolist() == [64, 1, 75, 30]
  for start, steps in zip((0, 64, 65, 140), episodes, strict=True):
    length = len(steps["frame"])
    part = slice(start, start + length)
    np.testing.assert_array_equal(
      frame_codec.unpack_rgb(steps["frame"]), arrays["obs"][part]
    )
    np.testing.assert_array_equal(
      steps["action"][:-1], arrays["actions"][part][:-1]
    )
    np.testing.assert_array_equal(steps["is_first"], np.arange(length) == 0)
    np.testing.assert_array_equal(
      steps["is_last"], np.arange(length) == length - 1
    )
    # What the last action led to is not known, so nobody chose it.
    assert steps["action"][-1] == specs.PASS
    assert specs.BEHAVIOURS[steps["behaviour"][-1]] == "none"
    assert set(steps["behaviour"][:-1]) <= {specs.BEHAVIOURS.index("policy")}
    assert not steps["is_terminal"].any()
    assert steps["game_running"].all() == ram
    if ram:
      np.testing.assert_array_equal(steps["map_id"], arrays["map_ids"][part])
      np.testing.assert_array_equal(
        steps["facing"], arrays["facings"][part] // 4
      )
      np.testing.assert_array_equal(
        steps["party_hp"], arrays["party_hps"][part]
      )
    else:
      assert not any(steps[f.name].any() for f in specs.RAM_FIELDS)
      assert not steps["reward_terms"].any()


def test_a_file_whose_predecessor_is_missing_begins_an_episode(tmp_path):
  for number, starts in ((1, (0,)), (3, (5,)), (4, ())):
    arrays = npz_files_test.columns(10, number, starts=starts)
    npz_files_test.write(tmp_path, number, arrays)
  result = _import(tmp_path, tmp_path / "out")
  assert result.cut_starts == ("transitions_0003.npz",)
  _, index = _episodes(tmp_path / "out")
  assert index.lengths.tolist() == [10, 5, 15]


def test_the_same_import_again_adds_nothing_and_a_stopped_one_goes_on(tmp_path):
  arrays = npz_files_test.columns(300, starts=range(0, 300, 100))
  npz_files_test.write(tmp_path, 1, arrays)
  calls = []

  def stop():
    calls.append(1)
    return len(calls) == 3  # within the second episode

  first = _import(tmp_path, tmp_path / "out", stop=stop)
  assert first.stopped and first.new_episodes == 1
  again = _import(tmp_path, tmp_path / "out")
  assert (again.episodes, again.new_episodes) == (3, 2)
  assert _import(tmp_path, tmp_path / "out").new_episodes == 0
  _import(tmp_path, tmp_path / "whole")
  one = generations.freeze(tmp_path / "out")
  other = generations.freeze(tmp_path / "whole")
  assert not one.skipped
  assert one.content_digest == other.content_digest


def test_a_refused_file_leaves_no_records(tmp_path):
  npz_files_test.write(tmp_path, 1, npz_files_test.columns(130, starts=(0, 65)))
  arrays = npz_files_test.columns(10)
  arrays["obs"][4, 0, 0, 0] = 7
  npz_files_test.write(tmp_path, 2, arrays)
  out = tmp_path / "out"
  with pytest.raises(ValueError, match=r"transitions_0002\.npz: obs\[4\]"):
    _import(tmp_path, out, shard_bytes=1)  # a shard for every episode
  assert not [p for p in (out / "shards").iterdir() if p.name != ".lock"]


def test_files_with_and_without_memory_fields_are_not_mixed(tmp_path):
  npz_files_test.write(tmp_path, 1, npz_files_test.columns(5))
  npz_files_test.write(tmp_path, 2, npz_files_test.columns(5, ram=False))
  with pytest.raises(ValueError, match=r"0002\.npz: memory fields missing"):
    _import(tmp_path, tmp_path / "out")
  with pytest.raises(ValueError, match="behaviour: 'nobody'"):
    _import(tmp_path, tmp_path / "out", behaviour="nobody")


def test_recorded_rewards_are_counted_and_imports_cannot_be_replayed(tmp_path):
  arrays = npz_files_test.columns(20)
  arrays["rewards"][[3, 4]] = 1.0
  npz_files_test.write(tmp_path, 1, arrays)
  assert _import(tmp_path, tmp_path / "out").nonzero_rewards == 2
  _, index = _episodes(tmp_path / "out")
  with pytest.raises(ValueError, match="cannot be played again"):
    replay.check_header(roms.resolve(), index.headers[0])


def test_imported_records_make_batches(tmp_path):
  arrays = npz_files_test.columns(120, starts=range(0, 120, 30))
  npz_files_test.write(tmp_path, 1, arrays)
  _import(tmp_path, tmp_path / "out")
  generation = generations.freeze(tmp_path / "out")
  index = loader.EpisodeIndex(generation, "train")
  batch = loader.BatchSource(index, batch_size=3, seq_len=16, seed=0)[0]
  specs.check_steps(
    {
      k: batch[k].reshape(-1, *batch[k].shape[2:])
      for k in specs.STEP_FIELD_NAMES
    }
  )
  assert not batch["is_first"][:, 1:].any()


def _rows(**fields):
  """Columns of a walk in which only some fields change."""
  length = len(next(iter(fields.values())))
  rows = npz_files_test.columns(length)
  for name in npz_files.RAM_COLUMNS:
    rows[name][:] = 0
  rows["party_max_hps"][:, 0] = 20
  rows["party_hps"][:, 0] = 20
  for name, values in fields.items():
    target = rows[name] if rows[name].ndim == 1 else rows[name][:, 0]
    target[:] = values
  rows["obs"] = frame_codec.pack_grey(rows["obs"][..., 0])
  return rows


def _terms(rows, cut=None):
  convert = npz_steps.Converter(0)
  cuts = [0, len(rows["obs"])] if cut is None else [0, cut, len(rows["obs"])]
  parts = []
  for start, stop in itertools.pairwise(cuts):
    part = {name: array[start:stop] for name, array in rows.items()}
    parts.append(convert(part, is_last=stop == cuts[-1]))
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


@pytest.mark.parametrize("cut", [None, 1, 3, 5])
def test_terms_that_the_fields_allow(cut):
  rows = _rows(
    map_ids=[1, 2, 1, 3, 2, 3],  # 2 and 3 are new once
    badges=[1, 1, 3, 0, 3, 7],  # a second badge, lost and regained, a third
    party_hps=[20, 15, 20, 20, 0, 0],  # loses 5, is healed, loses 20
  )
  steps = _terms(rows, cut)
  terms = steps["reward_terms"]
  assert terms[:, _TERM["new_maps"]].tolist() == [0, 1, 0, 1, 0, 0]
  assert terms[:, _TERM["badges"]].tolist() == [0, 0, 1, 0, 0, 1]
  assert terms[:, _TERM["hp_lost"]].tolist() == [0, 5, 0, 0, 20, 0]
  others = [i for n, i in _TERM.items() if n not in
            ("new_maps", "badges", "hp_lost")]  # fmt: skip
  assert not terms[:, others].any()
  maps = np.unpackbits(steps["visited_maps"], axis=1, bitorder="little")
  assert [np.flatnonzero(m).tolist() for m in maps] == [
    [1], [1, 2], [1, 2], [1, 2, 3], [1, 2, 3], [1, 2, 3]
  ]  # fmt: skip


def test_depositing_is_no_loss_and_the_title_screen_pays_nothing():
  rows = _rows(party_hps=[0, 20, 12, 9], party_max_hps=[0, 20, 12, 12],
               map_ids=[0, 5, 5, 5], badges=[0, 3, 3, 3])  # fmt: skip
  steps = _terms(rows)
  assert steps["game_running"].tolist() == [False, True, True, True]
  terms = steps["reward_terms"]
  # Row 1 begins the game; row 2 has another party; row 3 loses 3.
  assert terms.sum(axis=1).tolist() == [0, 0, 0, 3]
  assert not steps["visited_maps"][0].any()


def test_terms_agree_with_the_tracker_of_full_memory():
  rng = np.random.default_rng(0)
  rows = _rows(map_ids=rng.integers(1, 6, 200), badges=rng.integers(0, 8, 200))
  ours = _terms(rows)
  state = {f.name: ours[f.name] for f in specs.RAM_FIELDS}
  theirs = rewards.RewardTracker().update(
    np.zeros((200, ram_addresses.RAM_BYTES), np.uint8), state
  )
  for term in ("badges", "new_maps"):
    column = _TERM[term]
    assert ours["reward_terms"][:, column].any()
    np.testing.assert_array_equal(
      ours["reward_terms"][:, column], theirs["reward_terms"][:, column]
    )
  np.testing.assert_array_equal(ours["visited_maps"], theirs["visited_maps"])


def test_export_and_import_give_back_what_the_format_holds(tmp_path):
  fakes.write(tmp_path / "a", "a", [(0, 70, "random"), (1, 64, "random")])
  before, index = _episodes(tmp_path / "a")
  paths = npz_import.export_files(index, tmp_path / "npz", steps_per_file=50)
  assert [path.name for path in paths] == [
    "transitions_0001.npz", "transitions_0002.npz", "transitions_0003.npz"
  ]  # fmt: skip
  with np.load(paths[0]) as file:
    expected = specs.weighted_reward(
      before[0]["reward_terms"][:50], specs.REWARD_WEIGHTS["published"]
    )
    np.testing.assert_array_equal(file["rewards"], expected)
  _import(tmp_path / "npz", tmp_path / "b")
  after, _ = _episodes(tmp_path / "b")
  for old, new in zip(before, after, strict=True):
    for name in (
      *("frame", "action", "is_first", "is_last", "map_id", "x", "y"),
      *("badges", "dialog_open", "party_hp", "party_max_hp"),
    ):
      np.testing.assert_array_equal(old[name], new[name], name)
  with pytest.raises(ValueError, match="exists already, of another export"):
    npz_import.export_files(index, tmp_path / "npz")


def test_an_export_that_was_ended_goes_on_after_its_whole_files(tmp_path):
  fakes.write(tmp_path / "a", "a", [(0, 70, "random"), (1, 64, "random")])
  _, index = _episodes(tmp_path / "a")
  npz_import.export_files(index, tmp_path / "whole", steps_per_file=30)

  class Killed(BaseException):
    pass

  def progress(done):
    if done > 70:
      raise Killed

  folder = tmp_path / "npz"
  with pytest.raises(Killed):
    npz_import.export_files(index, folder, 30, progress)
  there = sorted(folder.glob("*.npz"))
  assert len(there) == 2
  dates = [path.stat().st_mtime_ns for path in there]
  paths = npz_import.export_files(index, folder, steps_per_file=30)
  assert [path.stat().st_mtime_ns for path in there] == dates
  assert sorted(folder.glob("*.npz")) == paths and len(paths) == 5
  for path in paths:
    with np.load(path) as one, np.load(tmp_path / "whole" / path.name) as other:
      for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


def test_an_unknown_game_is_exported_without_memory_fields(tmp_path):
  fakes.write(tmp_path / "a", "a", [(0, 20, "random")])
  _, index = _episodes(tmp_path / "a")
  entry = index._episodes[0].entry
  header = dataclasses.replace(entry.header, rom_kind=roms.UNKNOWN)
  index._episodes[0] = dataclasses.replace(
    index._episodes[0], entry=dataclasses.replace(entry, header=header)
  )
  (path,) = npz_import.export_files(index, tmp_path / "npz")
  with np.load(path) as file:
    assert set(file) == set(npz_files.BASIC_COLUMNS)


def test_what_a_killed_import_left_goes_and_what_others_write_stays(tmp_path):
  fakes.write(tmp_path / "a", "a", [(0, 20, "random")])
  _, index = _episodes(tmp_path / "a")
  npz_import.export_files(index, tmp_path / "npz")
  folder = tmp_path / "b" / "shards"
  folder.mkdir(parents=True)
  (folder / "npz01234567-00000.arrayrecord.tmp").touch()
  (folder / "c000-01234567-0000-00000.arrayrecord.tmp").touch()
  _import(tmp_path / "npz", tmp_path / "b")
  assert [path.name for path in folder.glob("*.tmp")] == [
    "c000-01234567-0000-00000.arrayrecord.tmp"
  ]
