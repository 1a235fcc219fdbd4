"""Errors by cell against a slow loop over pixels."""

import collections

import numpy as np

from data_tools.game import frame_codec
from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import cell_errors


def _frames(seed, *lead):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (*lead, 144, 40)).astype(np.uint8)


def _case():
  """Four windows of three rows near the edges of two maps."""
  rng = np.random.default_rng(0)
  truth = _frames(1, 4, 3)
  frame = np.where(rng.random(truth.shape) < 0.9, truth, _frames(2, 4, 3))
  place = rng.integers(0, (2, 6, 5), (4, 3, 3)).astype(np.uint8)
  return frame, truth, place, rng.random((4, 3)) < 0.6


def _slow(frame, truth, place, at):
  """Cell -> [wrong pixels, rows], pixel by pixel."""
  found = collections.defaultdict(lambda: [0, 0])
  for index in np.ndindex(at.shape):
    if not at[index]:
      continue
    map_id, y, x = (int(n) for n in place[index])
    left, right = (frame_codec.unpack(f[index]) for f in (frame, truth))
    for r in range(9):
      for c in range(10):
        block = np.s_[16 * r : 16 * r + 16, 16 * c : 16 * c + 16]
        cell = found[map_id, y + r - 4, x + c - 4]
        cell[0] += int((left[block] != right[block]).sum())
        cell[1] += 1
  return dict(found)


def test_cells_add_up_what_a_slow_loop_finds():
  frame, truth, place, at = _case()
  expected = _slow(frame, truth, place, at)
  found = cell_errors.per_cell(frame, truth, place, at)
  assert found.rows_read == at.sum()
  assert list(map(tuple, found.place.tolist())) == sorted(expected)
  wrong, rows = np.array([expected[key] for key in sorted(expected)]).T
  np.testing.assert_array_equal(found.wrong, wrong)
  np.testing.assert_array_equal(found.rows, rows)
  np.testing.assert_allclose(found.share, wrong / rows / 256)
  assert found.place.min() == -4 and found.rows.max() > 1


def test_one_wrong_pixel_is_at_its_cell_alone():
  truth = np.zeros((1, 144, 40), np.uint8)
  frame = truth.copy()
  frame[0, 143, 39] = 0b10_00_00_00  # the last pixel of the last block
  place = np.array([[7, 3, 2]], np.uint8)
  found = cell_errors.per_cell(frame, truth, place, np.ones(1, bool))
  (at,) = np.flatnonzero(found.wrong)
  assert found.place[at].tolist() == [7, 3 + 4, 2 + 5]
  assert (found.wrong[at], found.rows[at]) == (1, 1)


def test_without_a_row_nothing_is_found():
  frame, truth, place, at = _case()
  found = cell_errors.per_cell(frame, truth, place, np.zeros_like(at))
  assert (found.rows_read, len(found.rows)) == (0, 0)
  assert not len(found.worst(10))


def test_the_worst_come_first_and_what_is_seldom_seen_is_passed_over():
  errors = cell_errors.CellErrors(
    place=np.array([(1, 0, i) for i in range(5)]),
    wrong=np.array([10, 90, 64, 0, 32]),
    rows=np.array([2, 1, 2, 9, 1]),
    rows_read=9,
  )
  assert errors.worst(3).tolist() == [1, 2, 4]
  assert errors.worst(9, least_rows=2).tolist() == [2, 0, 3]


def test_rows_show_cells_where_one_can_walk():
  rows = specs.empty_steps(6)
  rows["game_running"][1:] = True
  rows["has_control"][:5] = True  # the last one fades
  rows["in_battle"][1] = 1
  rows["dialog_open"][2] = True
  rows["menu_open"][3] = True
  assert cell_errors.walking(rows).tolist() == [False] * 4 + [True, False]


def test_frames_of_another_place_or_screen_are_wrong_as_a_whole():
  truth = np.zeros((4, 144, 40), np.uint8)
  frame = truth.copy()
  frame[1].reshape(-1)[: 144 * 40 // 5] = 0xFF  # a fifth of it
  frame[2].reshape(-1)[: 144 * 40 // 5 + 1] = 0xFF
  place = np.ones((4, 3), np.uint8)
  dreamed = place.copy()
  dreamed[3, 1] = 2
  found = cell_errors.right_at_large(frame, truth, dreamed, place)
  assert found.tolist() == [True, True, False, False]
