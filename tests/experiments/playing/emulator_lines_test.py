"""Other luck, calm windows and long episodes, on the practice cartridge."""

import pathlib

import numpy as np
import pytest

from data_tools.game import emulator
from data_tools.game import roms
from data_tools.players import policies
from data_tools.records import episodes
from data_tools.records import shards
from experiments.playing import emulator_lines
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.evaluation import scores

_LENGTH, _SEED, _CONTEXT = 130, 5, 4
_NOWHERE = pathlib.Path("/nonexistent")  # power-on needs no state beside it


class _Index:
  """Two recorded episodes, as an `EpisodeIndex` shows them."""

  def __init__(self, rom):
    self.headers, self._steps = [], []
    with emulator.Emulator(rom) as game:
      for number in range(2):
        behaviour = "demonstrator:eps=0.3"
        policy = policies.make_policy(behaviour, rom)
        jitter = game.reset(_SEED + number, None, 60)
        chunks = list(episodes.play(game, policy, _SEED + number, _LENGTH))
        self._steps.append(
          {n: np.concatenate([c[n] for c in chunks]) for n in chunks[0]}
        )
        self.headers.append(
          shards.EpisodeHeader(
            collection="c",
            episode=number,
            seed=_SEED + number,
            behaviour=behaviour,
            rom_sha1=rom.sha1,
            rom_kind=rom.kind,
            start_state_sha1="",
            jitter_frames=jitter,
            pyboy_version=emulator.pyboy_version(),
          )
        )
    self.lengths = np.array([len(s["action"]) for s in self._steps])

  def read(self, episode, start, stop, fields):
    return {n: self._steps[episode][n][start:stop] for n in fields}


@pytest.fixture(scope="module")
def recorded():
  rom = roms.resolve(None)
  return rom, _Index(rom)


def test_without_waiting_other_luck_is_the_recording(recorded):
  rom, index = recorded
  places = [(0, 3), (0, 70), (1, 20)]
  steps = [1, 5, 20]
  (made,) = emulator_lines.other_luck(
    *(rom, index, _NOWHERE, places, _CONTEXT, steps), waits_frames=[0]
  )
  names = ["frame", "map_id", "y", "x"]
  for i, (episode, start) in enumerate(places):
    rows = index.read(episode, start, start + _CONTEXT + 20, names)
    at = [_CONTEXT + k - 1 for k in steps]
    np.testing.assert_array_equal(made.frame[i], rows["frame"][at])
    truth = scores.recorded_places(rows)[at]
    np.testing.assert_array_equal(made.place[i], truth)


def test_other_luck_differs_and_calm_windows_are_those_that_do_not(recorded):
  rom, index = recorded
  places = [(0, row) for row in range(0, 90, 10)]
  every = range(1, 31)
  waits = emulator_lines.WAITS_FRAMES
  lucks = emulator_lines.other_luck(
    *(rom, index, _NOWHERE, places, _CONTEXT, every, waits)
  )
  rows = [index.read(e, s, s + _CONTEXT + 30, ["frame"]) for e, s in places]
  truth = np.stack([row["frame"][_CONTEXT:] for row in rows])
  calm = emulator_lines.calm(lucks, truth, [1, 15, 30])
  assert 0 < calm.sum() < calm.size  # a battle is near, and calm before
  assert (calm[:, 1:] <= calm[:, :-1]).all()  # what is broken stays so
  for luck in lucks:
    np.testing.assert_array_equal(luck.frame[calm[:, 2]], truth[calm[:, 2]])


def test_neither_processes_nor_other_lucks_change_a_line(recorded):
  rom, index = recorded
  places = [(0, 40), (0, 60), (1, 20)]
  waits = emulator_lines.WAITS_FRAMES
  together = emulator_lines.other_luck(
    *(rom, index, _NOWHERE, places, _CONTEXT, [1, 30], waits, 2)
  )
  for luck, wait in zip(together, waits, strict=True):
    (alone,) = emulator_lines.other_luck(
      *(rom, index, _NOWHERE, places, _CONTEXT, [1, 30], [wait])
    )
    np.testing.assert_array_equal(luck.frame, alone.frame)
    np.testing.assert_array_equal(luck.place, alone.place)
  assert not np.array_equal(together[0].frame, together[2].frame)


def test_a_window_is_calm_until_any_luck_differs():
  truth = np.random.default_rng(0).integers(0, 256, (3, 5, 144, 40), np.uint8)
  first, second = truth.copy(), truth.copy()
  first[1, 3, 0, 0] ^= 1  # window 1 breaks at step 4
  second[2, 0, 5, 5] ^= 1  # window 2 at step 1, and is right again later
  lucks = [dreams.Dreams(frame, None) for frame in (first, second)]
  found = emulator_lines.calm(lucks, truth, [1, 3, 4, 5])
  expected = [[True] * 4, [True, True, False, False], [False] * 4]
  assert found.tolist() == expected


def test_long_episodes_are_whole_new_and_repeatable():
  rom = roms.resolve(None)
  made, names = emulator_lines.long_episodes(rom, 2, 80, 0, 60)
  again, _ = emulator_lines.long_episodes(rom, 2, 80, 0, 60, workers=2)
  assert made["frame"].shape == (2, 80, 144, 40)
  assert made["is_first"].sum(axis=1).tolist() == [1, 1]
  assert made["is_first"][:, 0].all()
  assert "sticky_random" in names
  for name in made:
    np.testing.assert_array_equal(made[name], again[name])
  assert not np.array_equal(made["action"][0], made["action"][1])


def test_an_episode_that_ends_early_is_played_again(monkeypatch):
  rom = roms.resolve(None)
  played = []

  def play(game, policy, seed, length):
    played.append(seed)
    short = len(played) == 1
    yield {"action": np.zeros(length - short, np.uint8)}

  monkeypatch.setattr(episodes, "play", play)
  made, _ = emulator_lines.long_episodes(rom, 2, 10, 0, 0)
  assert made["action"].shape == (2, 10)
  assert len(set(played)) == 3


def test_recorded_episodes_serve_where_they_last(recorded):
  _, index = recorded
  rows = emulator_lines.recorded_long(index, 5, ["action"], _LENGTH)
  assert rows["action"].shape == (2, _LENGTH)
  too_long = _LENGTH + 1
  assert emulator_lines.recorded_long(index, 5, ["action"], too_long) == {}
