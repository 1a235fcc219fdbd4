import dataclasses

import numpy as np
import pytest

from data_tools import emulator
from data_tools import episodes
from data_tools import policies
from data_tools import records
from data_tools import replay
from data_tools import roms

_LENGTH = 130
_SEED = 5


@pytest.fixture(scope="module")
def recording():
  """A noisy demonstrator's episode on the practice cartridge."""
  rom = roms.resolve(None)
  policy = policies.make_policy("demonstrator:eps=0.3", rom)
  with emulator.Emulator(rom) as game:
    jitter = game.reset(_SEED, None, 60)
    chunks = list(episodes.play(game, policy, _SEED, _LENGTH))
  steps = {
    name: np.concatenate([chunk[name] for chunk in chunks])
    for name in chunks[0]
  }
  header = records.EpisodeHeader(
    collection="c",
    episode=0,
    seed=_SEED,
    behaviour="demonstrator:eps=0.3",
    rom_sha1=rom.sha1,
    rom_kind=rom.kind,
    start_state_sha1="",
    jitter_frames=jitter,
    pyboy_version=emulator.pyboy_version(),
  )
  return rom, header, steps


def _branch(recording, rows, steps, wait_frames):
  rom, header, recorded = recording
  return list(
    replay.branches(rom, header, recorded["action"], rows, steps, wait_frames)
  )


def test_without_waiting_a_branch_is_the_recording(recording):
  recorded, rows, steps = recording[2], [0, 7, 60, 61], [1, 2, 50]
  branches = _branch(recording, rows, steps, 0)
  assert len(branches) == len(rows)
  for row, (frames, places) in zip(rows, branches, strict=True):
    at = [row + step for step in steps]
    np.testing.assert_array_equal(frames, recorded["frame"][at])
    for i, name in enumerate(("map_id", "y", "x")):
      np.testing.assert_array_equal(places[:, i], recorded[name][at])


def test_after_waiting_chance_differs_but_the_first_step_hardly(recording):
  recorded, rows = recording[2], list(range(20, 70, 5))
  branches = _branch(recording, rows, [1, 60], 1)
  places = np.stack([place for _, place in branches])
  truth = np.stack([recorded[n] for n in ("map_id", "y", "x")], axis=-1)
  same = [
    (places[:, i] == truth[[row + step for row in rows]]).all(axis=1).mean()
    for i, step in enumerate((1, 60))
  ]
  assert same[0] >= 0.8
  assert same[1] < 1.0


@pytest.mark.parametrize(
  "field", ["rom_sha1", "pyboy_version", "start_state_sha1"]
)
def test_another_origin_is_refused_by_name(recording, field):
  rom, header, _ = recording
  other = dataclasses.replace(header, **{field: "0123"})
  with pytest.raises(ValueError, match=rf"{field} 0123, here"):
    replay.check_header(rom, other)
