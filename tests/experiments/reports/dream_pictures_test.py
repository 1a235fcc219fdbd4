"""Which windows a sheet shows, and where a chart draws its lines."""

import numpy as np

from experiments.reports import dream_pictures
from pokedreamer_jax import specs


def _windows(count, length):
  rows = specs.empty_steps(count * length)
  rows["game_running"][:] = True
  return {n: v.reshape(count, length, *v.shape[1:]) for n, v in rows.items()}


def test_windows_show_most_of_their_mode_and_none_is_shown_twice():
  windows = _windows(6, 24)  # four seen rows, then twenty
  windows["in_battle"][1, 3:10] = 1  # 7 of the 16 rows looked at
  windows["in_battle"][4, 3:] = 1  # all 16
  windows["dialog_open"][2, 18] = True  # one
  windows["dialog_open"][5, 20:] = True  # later than is drawn
  chosen, labels = dream_pictures.windows_by_mode(windows, 4, 2)
  found = list(zip(chosen, labels, strict=True))
  assert [w for w, label in found if label == "battle"] == [4, 1]
  assert [w for w, label in found if label == "dialog"] == [2]
  assert {w for w, label in found if label == "overworld"} <= {0, 3, 5}
  assert "menu" not in labels
  every, _ = dream_pictures.windows_by_mode(windows, 4, 6)
  assert sorted(every) == list(range(6))


def _walking(count, length):
  windows = _windows(count, length)
  windows["map_id"][:] = 3
  return windows


def test_one_window_each_of_a_door_a_dialog_a_battle_and_a_walk():
  windows = _walking(8, 24)  # four seen rows, then twenty
  windows["x"][7, :] = np.arange(24) // 8  # walks a little
  windows["x"][1, :] = np.arange(24)  # and far: the route
  windows["in_battle"][2, 3:] = 1
  windows["dialog_open"][3, 3:] = True
  windows["map_id"][4, 9:] = 5  # a door at the sixth dreamed row
  windows["map_id"][5, 20:] = 5  # one that no column shows
  windows["map_id"][6, 4:] = 5  # one at once, seen from one side alone
  windows["in_battle"][0, 9:] = 1
  windows["map_id"][0, 9:] = 5  # no door: a battle begins there
  chosen, labels = dream_pictures.telling_windows(windows, 4)
  assert chosen == [4, 3, 2, 1]
  assert [label.partition(":")[0] for label in labels] == [
    *("door", "dialog", "battle", "route")
  ]
  # What no window shows is left out.
  chosen, labels = dream_pictures.telling_windows(_walking(2, 24), 4)
  assert (chosen, labels) != ([], []) and "battle: real" not in labels
  # Of a game whose memory nobody reads: some windows.
  unknown = _windows(9, 24)
  unknown["game_running"][:] = False
  chosen, labels = dream_pictures.telling_windows(unknown, 4)
  assert chosen == [0, 2, 5, 8] and set(labels) == {"real"}


def test_a_chart_draws_every_line_from_its_first_to_its_last_value():
  curves = {
    "low": {"steps": [1, 2, 3], "values": [0.0, 0.0, 0.0]},
    "high": {"steps": [1, 3], "values": [10.0, 10.0]},
  }
  image = dream_pictures.drift_chart(curves, "title")
  pixels = np.asarray(image).astype(int)
  for name, height in (("low", 0.0), ("high", 1.0)):
    colour = dream_pictures._COLOURS[list(curves).index(name)]
    ys, xs = np.nonzero((pixels == colour).all(-1))
    line = xs < dream_pictures._SIZE[0] - dream_pictures._RIGHT
    top, bottom = dream_pictures._TOP, dream_pictures._BOTTOM
    drawn = dream_pictures._SIZE[1] - top - bottom
    expected = top + (1 - height) * drawn
    assert abs(np.median(ys[line]) - expected) <= 1
    assert xs[line].max() - xs[line].min() > 300
    assert (~line).any()  # its name beside its end


def test_nothing_is_drawn_where_no_place_is_known(tmp_path):
  dream_pictures.save_drift({}, tmp_path / "drift.png")
  assert not list(tmp_path.iterdir())
