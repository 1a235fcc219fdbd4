"""Records as a Minari data set: the same arrays, at the steps they are of."""

import json
import sys

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from data_tools.collecting import collector
from data_tools.game import frame_codec
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from experiments import export_minari
from experiments.sharing import minari_files
from pokedreamer_jax import specs

NAME = "small-v0"
_REASON = "needs requirements-minari.txt: no minari"


@pytest.fixture(scope="module", autouse=True)
def _parsed():
  flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
  """Six episodes: of a demonstrator and of chance."""
  folder = tmp_path_factory.mktemp("records")
  rom = roms.resolve("chapter_one")
  mix = "demonstrator=0.5,random=0.5"
  collection = collector.make_collection(rom, 1, 150, mix, 0, None, "")
  collector.collect(folder, rom, collection, 6, 1)
  return folder


def _export(data_dir, out, **given):
  values = {"data_dir": str(data_dir), "out": str(out), "dataset_id": NAME}
  values |= {"reward": "published", "max_files": 0}
  with flagsaver.flagsaver(**(values | given)):
    export_minari.main()


def test_what_minari_reads_is_what_was_recorded(
  records, tmp_path, monkeypatch, capsys
):
  minari = pytest.importorskip("minari", reason=_REASON)
  _export(records, tmp_path)
  told = capsys.readouterr().out
  assert "bytes as Minari's" in told.splitlines()[0]  # before all else
  assert "read back and the same" in told
  monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
  data_set = minari.load_dataset(NAME)
  index = loader.EpisodeIndex(generations.gather(records), "all")
  assert data_set.total_episodes == len(index) == 6
  for number, (header, rows) in enumerate(index.episodes()):
    episode = data_set[number]
    length = len(rows["action"])
    assert len(episode.rewards) == len(episode.actions) == length - 1
    np.testing.assert_array_equal(
      episode.observations, frame_codec.unpack_rgb(rows["frame"])
    )
    # What an action led to stands in the row after it.
    for t in range(length - 1):
      assert episode.actions[t] == rows["action"][t]
      terms = rows["reward_terms"][t + 1]
      reward = terms @ np.float32(specs.REWARD_WEIGHTS["published"])
      assert episode.rewards[t] == pytest.approx(reward)
    ends = episode.terminations | episode.truncations
    assert ends.tolist() == [False] * (length - 2) + [True]
    assert bool(episode.terminations[-1]) == bool(rows["is_terminal"][-1])
    for name in ("x", "map_id", "party_hp", "dialog_open", "reward_terms"):
      found = episode.infos[name]
      assert found.dtype == rows[name].dtype
      np.testing.assert_array_equal(found, rows[name])
    (about,) = data_set.storage.get_episode_metadata([number])
    assert about["options"]["episode_id"] == header.episode_id
  env = data_set.recover_environment()
  assert env.observation_space == data_set.observation_space
  assert env.action_space == data_set.action_space
  env.close()
  raw = json.loads((tmp_path / NAME / "data" / "metadata.json").read_text())
  assert raw["jpeg_encoding"] is False and raw["data_format"] == "parquet"
  with pytest.raises(ValueError, match=r"is there already"):
    _export(records, tmp_path)


def test_what_differs_is_found_and_leaves_nothing(
  records, tmp_path, monkeypatch
):
  pytest.importorskip("minari", reason=_REASON)
  write = minari_files.write

  def spoil(folder, name, index, weights, *rest):
    made = write(folder, name, index, (*weights[:-1], 7.0), *rest)
    return made

  monkeypatch.setattr(minari_files, "write", spoil)
  with pytest.raises(RuntimeError, match=r"rewards differs"):
    _export(records, tmp_path / "out")
  assert not list((tmp_path / "out").iterdir())


def test_bad_input_is_a_line(records, tmp_path, monkeypatch):
  with pytest.raises(ValueError, match=r"--dataset_id=a/b: expected letters"):
    _export(records, tmp_path, dataset_id="a/b")
  monkeypatch.setitem(sys.modules, "minari", None)
  with pytest.raises(ValueError, match=r"requirements-minari\.txt"):
    _export(records, tmp_path)
  monkeypatch.setattr(minari_files, "library", lambda: None)
  monkeypatch.setattr(minari_files, "STEP_BYTES", 1 << 50)
  with pytest.raises(ValueError, match=r"bytes are free, expected"):
    _export(records, tmp_path)
  assert not list(tmp_path.iterdir())
