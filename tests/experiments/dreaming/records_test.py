"""Recorded rows to begin at: those that playing again shows, and no file."""

import dataclasses
import types

import numpy as np
import pytest

from experiments.dreaming import game as game_lib
from experiments.dreaming import records
from tests.experiments.playing import recordings


class _Index(recordings.Index):
  def __len__(self):
    return len(self.headers)


@pytest.fixture(scope="module")
def recorded():
  rom, steps, index = recordings.record([3, 8], 12)
  return rom, steps, _Index(steps, index.headers)


def _records(monkeypatch, recorded, index=None, jitter=recordings.JITTER):
  rom, _, own = recorded
  index = index or own
  held_out = types.SimpleNamespace(headers=index.headers[1:])
  monkeypatch.setattr(
    records.loader,
    "EpisodeIndex",
    lambda generation, split: index if split == "all" else held_out,
  )
  generation = types.SimpleNamespace(data_dir="/nowhere")
  return records.Records(generation, rom, jitter)


def test_a_row_is_what_the_game_shows_when_it_is_played_again(
  monkeypatch, recorded
):
  rom, steps, _ = recorded
  found = _records(monkeypatch, recorded)
  assert [one["held_out"] for one in found.told()] == [False, True]
  assert [one["rows"] for one in found.told()] == [12, 12]
  assert not found.left_out
  course = found.course(1, 9)
  np.testing.assert_array_equal(found.picture(1, 9), course.frame[-1])
  game = game_lib.Game(rom)
  try:
    row = game.begin(course.start, course.save_state)
    for number, frame in enumerate(course.frame):
      if number:
        row = game.step(int(course.action[number - 1]))
      np.testing.assert_array_equal(row["frame"], frame)
  finally:
    game.close()
  np.testing.assert_array_equal(course.frame, steps[1]["frame"][:10])


def test_what_cannot_be_entered_is_left_out_and_told(monkeypatch, recorded):
  _, steps, index = recorded
  other = dataclasses.replace(index.headers[1], rom_sha1="0" * 40)
  found = _records(
    monkeypatch, recorded, _Index(steps, [index.headers[0], other])
  )
  assert len(found) == 1 and "1 of 2 episodes" in found.left_out
  assert "rom_sha1" in found.left_out
  with pytest.raises(ValueError, match=r"no episode can be entered: .*jitter"):
    _records(monkeypatch, recorded, jitter=7)


def test_no_row_but_those_that_there_are(monkeypatch, recorded):
  found = _records(monkeypatch, recorded)
  for episode, row, message in (
    (2, 0, r"episode: 2, expected 0..1"),
    (-1, 0, "episode: -1"),
    (0, 12, r"row: 12, expected 0..11"),
    (0, -1, "row: -1"),
  ):
    for ask in (found.picture, found.course):
      with pytest.raises(ValueError, match=message):
        ask(episode, row)
