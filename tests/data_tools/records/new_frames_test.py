"""Frames that no earlier record shows, against a slow count of them."""

import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import new_frames
from tests.data_tools import fakes


def _repeating(length, episode):
  """Rows with few different frames, some of them in all episodes."""
  rows = fakes.steps(length, episode)
  rng = np.random.default_rng([episode, 1])
  number = rng.integers(0, 12, length) * (1 + episode % 2)
  rows["frame"][:] = 0
  rows["frame"][:, 143, 39] = number  # told by the last byte alone
  return rows


def test_new_frames_as_a_slow_loop_counts_them(tmp_path):
  before = [(0, 20, "random"), (1, 9, "random"), (2, 15, "random")]
  fakes.write(tmp_path, "a", before, make=_repeating)
  fresh = [(3, 30, "policy"), (5, 11, "policy")]
  fakes.write(tmp_path, "b", fresh, collection="fresh", make=_repeating)
  generation = generations.freeze(tmp_path)
  known, shown = set(), []
  for header, steps in loader.EpisodeIndex(generation, "all").episodes():
    frames = [frame.tobytes() for frame in steps["frame"]]
    if header.collection == "fresh":
      shown += frames
    else:
      known |= set(frames)
  new = [frame for frame in shown if frame not in known]
  assert 0 < len(set(new)) < len(new) < len(shown) == 41
  assert new_frames.count(generation, {"fresh"}) == {
    "frames": 41,
    "new": len(new),
    "new_different": len(set(new)),
  }
  everything = new_frames.count(generation, {"fresh", "made-up"})
  assert everything["new"] == everything["frames"] == 85
  assert new_frames.count(generation, {"nobody"})["frames"] == 0
