"""Rows are counted by hand's arithmetic, kept with episodes, or read again."""

import numpy as np

from data_tools.records import coverage
from data_tools.records import generations
from data_tools.records import shards as shards_lib
from pokedreamer_jax import specs
from tests.data_tools import fakes


def _rows():
  """Seven rows: one of each situation."""
  rows = specs.empty_steps(7)
  rows["game_running"][1:] = True
  rows["map_id"][:] = [9, 3, 3, 3, 3, 4, 4]
  rows["event_flags"][:] = [9, 0, 0, 2, 2, 2, 11]
  rows["badges"][:] = [255, 0, 0, 0, 0b101, 0b101, 0b101]
  rows["in_battle"][:] = [0, 0, 0, 0, 1, 2, 255]
  rows["dialog_open"][:] = [0, 0, 1, 1, 0, 0, 0]
  rows["menu_open"][:] = [0, 0, 0, 1, 1, 0, 0]
  return rows


_COUNTED = {
  "maps": {"3": 4, "4": 2},
  "story_flags": {"0": 2, "2": 3, "11": 1},
  "badges": {"0": 3, "2": 3},
  "situations": dict.fromkeys(coverage.SITUATIONS, 1),
}


def test_every_row_counts_once_however_they_are_cut():
  whole, pieces = coverage.Coverage(), coverage.Coverage()
  whole.add(_rows())
  for cut in (slice(0, 2), slice(2, 3), slice(3, 7)):
    pieces.add({name: array[cut] for name, array in _rows().items()})
  assert whole.to_dict() == pieces.to_dict() == _COUNTED
  # Numbers stand in the order of their size, situations as they are listed.
  assert list(whole.to_dict()["story_flags"]) == ["0", "2", "11"]
  assert list(whole.to_dict()["situations"]) == list(coverage.SITUATIONS)


def test_what_older_episodes_do_not_tell_is_read(tmp_path):
  folder = tmp_path / generations.SHARDS_DIR
  folder.mkdir()
  told = coverage.Coverage()
  told.add(_rows())
  summaries = [{}, {coverage.KEY: told.to_dict()}, {}]
  with shards_lib.ShardWriter(folder, "a") as writer:
    for number, summary in enumerate(summaries):
      writer.begin(fakes.header(number))
      for chunk in fakes.chunks(fakes.steps(70, number)):
        writer.write(chunk)
      writer.end(summary)
    writer.commit()
  generation = generations.freeze(tmp_path)
  found = coverage.of_generation(generation, "0" * 40)
  expected = coverage.Coverage()
  expected.add(_rows())  # as it says, whatever its rows are
  for number in (0, 2):
    expected.add(fakes.steps(70, number))
  assert found == expected.to_dict()
  assert sum(found["situations"].values()) == 7 + 2 * 70
  nothing = coverage.of_generation(generation, "1" * 40)
  assert nothing == {part: {} for part in coverage.PARTS}
  np.testing.assert_array_equal(_rows()["map_id"][1:4], 3)
