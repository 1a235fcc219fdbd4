"""A game that is recorded as it is played is an episode like any other."""

import numpy as np
import pytest

from data_tools.collecting import collector
from data_tools.envs import vector
from data_tools.game import emulator
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import replay
from experiments.playing import game_record
from pokedreamer_jax import specs


def _record(tmp_path, length, stop=None):
  """Plays by rote; `stop` ends it after so many rows."""
  rom = roms.resolve(None)
  made = collector.make_collection(rom, 3, length, "policy:abc@1", 60)
  plan = episodes.plan(made, 0)
  recorder = game_record.Recorder(tmp_path, made)
  pressed = []
  with vector.VectorEmulator(rom, 1, 1, length, 60) as emulators:
    row = emulators.reset([plan.seed])
    for t in range(length):
      action = t % specs.NUM_ACTIONS
      recorder.add({name: a[0] for name, a in row.items()}, action)
      if row["is_last"][0] or t + 1 == stop:
        break
      pressed.append(action)
      row = emulators.step(np.array([action]))
  recorder.close()
  return rom, pressed


@pytest.mark.parametrize(
  ("length", "stop"), [(64, None), (150, None), (150, 70)]
)
def test_the_record_can_be_played_again(tmp_path, length, stop):
  rom, pressed = _record(tmp_path, length, stop)
  index = loader.EpisodeIndex(generations.freeze(tmp_path), "all")
  assert index.lengths.tolist() == [len(pressed) + 1] == [stop or length]
  rows = index.read(0, 0, len(pressed) + 1, specs.STEP_FIELD_NAMES)
  assert rows["action"].tolist() == [*pressed, specs.PASS]
  assert rows["is_last"].tolist() == [False] * len(pressed) + [True]
  assert rows["behaviour"][-1] == specs.BEHAVIOURS.index("none")
  header = index.headers[0]
  assert header.behaviour == "policy:abc@1"
  with emulator.Emulator(rom) as game:
    game.replay_reset(header.jitter_frames)
    for frame, action in zip(rows["frame"], rows["action"], strict=True):
      np.testing.assert_array_equal(game.frame(), frame)
      game.step(int(action))
  replay.check_header(rom, header, None)


def test_what_is_abandoned_leaves_nothing(tmp_path):
  made = collector.make_collection(roms.resolve(None), 3, 10, "policy:abc@1", 0)
  recorder = game_record.Recorder(tmp_path, made)
  row = {name: a[0] for name, a in specs.empty_steps(1).items()}
  recorder.add(row, 1)
  recorder.abandon()
  assert list((tmp_path / "shards").iterdir()) == []
