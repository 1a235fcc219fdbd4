import dataclasses

from array_record.python import array_record_module
import numpy as np
import pytest

from data_tools import cartridge
from data_tools.collecting import demonstrations
from data_tools.game import emulator as emulator_lib
from data_tools.game import input_logs
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import shards
from pokedreamer_jax import specs

_HUMAN = specs.BEHAVIOURS.index("human")


@pytest.fixture(scope="module")
def rom():
  return roms.resolve(cartridge.CHAPTER_ONE)


def _log(rom, actions, **changes):
  header = input_logs.Header(
    rom_sha1=rom.sha1,
    pyboy_version=emulator_lib.pyboy_version(),
    start_state_sha1="",
    seed=3,
    jitter_frames=17,
  )
  return input_logs.Log(
    dataclasses.replace(header, **changes), np.array(actions, np.uint8)
  )


def _play(length, seed=0):
  """Actions that begin a game and wander."""
  actions = np.random.default_rng(seed).integers(0, 8, length).tolist()
  actions[:6] = [6, 4, 6, 4, 6, 4]
  return actions


def test_records_are_the_frames_that_the_player_saw(rom, tmp_path):
  actions = _play(150)
  log, frames = _log(rom, actions), []
  with emulator_lib.Emulator(rom) as game:
    game.replay_reset(17)
    for action in actions:
      frames.append(game.frame())
      game.step(action)
    frames.append(game.frame())
  told = []
  entry = demonstrations.record(
    log, rom, None, tmp_path / generations.SHARDS_DIR, "h0", told.append
  )
  assert entry.length == told[-1] == 151
  assert (entry.header.behaviour, entry.header.seed) == ("human", 3)
  steps = _steps(tmp_path)
  np.testing.assert_array_equal(steps["frame"], np.stack(frames))
  np.testing.assert_array_equal(steps["action"][:-1], actions)
  assert (steps["behaviour"][:-1] == _HUMAN).all()
  assert steps["action"][-1] == specs.PASS
  assert steps["behaviour"][-1] == specs.BEHAVIOURS.index("none")
  assert steps["is_last"][-1] and not steps["is_terminal"].any()
  assert steps["game_running"].any() and len(np.unique(frames, axis=0)) > 5
  by_map = entry.summary["map_steps"]
  assert sum(by_map.values()) == 151
  assert by_map["-1"] == int((~steps["game_running"]).sum())


def _steps(data_dir):
  """All steps of the one shard in a data directory."""
  (path,) = (data_dir / generations.SHARDS_DIR).glob("*.arrayrecord")
  reader = array_record_module.ArrayRecordReader(str(path))
  parts = [
    shards.decode(reader.read([i])[0])[0] for i in range(reader.num_records())
  ]
  reader.close()
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def test_a_log_from_elsewhere_is_refused(rom, tmp_path):
  for changes, words in (
    ({"rom_sha1": "0" * 40}, "rom_sha1 0000"),
    ({"pyboy_version": "2.0"}, r"pyboy_version 2\.0"),
    ({"start_state_sha1": "ab"}, "start_state_sha1 ab, here power-on"),
  ):
    with pytest.raises(ValueError, match=words):
      demonstrations.record(_log(rom, [0], **changes), rom, None, tmp_path, "h")
  with pytest.raises(ValueError, match="no actions"):
    demonstrations.record(_log(rom, []), rom, None, tmp_path, "h")
  assert list(tmp_path.iterdir()) == []


def test_the_report_counts_maps_and_progress(rom, tmp_path):
  for number in range(2):
    demonstrations.record(
      _log(rom, _play(100, number)), rom, None,
      tmp_path / generations.SHARDS_DIR, f"h{number}",
    )  # fmt: skip
  entries = demonstrations.recorded(tmp_path)
  lines = demonstrations.coverage_lines(entries, rom, wanted=1000)
  assert lines[0] == "2 demonstrations, 202 of 1,000 steps: 20.2 %"
  for name in ("map_steps", "badge_steps", "situation_steps"):
    assert sum(sum(e.summary[name].values()) for e in entries) == 202
  titles = [line for line in lines[1:] if not line.startswith(" ")]
  assert titles == ["by map", "by badges held", "by situation"]
  (walking,) = [line for line in lines if line.split()[0] == "walking"]
  count = sum(e.summary["situation_steps"]["walking"] for e in entries)
  assert walking.split()[1:5] == [
    str(count),
    "steps",
    f"{count / 9000:.2f}",
    "h",
  ]
  home = rom.map_names[min(rom.map_names)]
  assert any(line.split()[0] == home for line in lines), lines
  assert "not yet seen: " in lines[-1] and home not in lines[-1].split()
  assert demonstrations.coverage_lines([], rom)[0].startswith(
    "0 demonstrations, 0 of 90,000"
  )


def test_segments_are_told_apart_by_hand():
  rows = specs.empty_steps(8)
  rows["game_running"][1:] = True
  rows["map_id"][3:] = 7
  rows["in_battle"][3:5] = (1, 2)
  rows["menu_open"][4:6] = True  # the first of them within the battle
  rows["dialog_open"][5:7] = True  # the first of them behind the menu
  rows["badges"][6:] = 0b101
  coverage = demonstrations.Coverage()
  coverage.add(rows)
  coverage.add({name: array[7:] for name, array in rows.items()})
  assert coverage.to_dict() == {
    "map_steps": {"-1": 1, "0": 2, "7": 6},
    "badge_steps": {"-1": 1, "0": 5, "2": 3},
    "situation_steps": {
      **{"battle": 2, "menu": 1, "no game running": 1, "text": 1},
      "walking": 4,
    },
  }
