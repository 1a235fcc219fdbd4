"""What a long dream is held against, on worlds made by hand."""

import dataclasses

import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.evaluation import long_dreams
from tests.pokedreamer_jax import fakes

_RIGHT, _PASS = specs.ACTIONS.index("right"), specs.PASS
_FACES_RIGHT = specs.FACINGS.index("right")


def _walk(xs, actions, frames=None, dialog=()):
  """A walk along row 2 of map 1; a column of the map has a picture."""
  xs = np.array(xs)
  place = np.stack([np.ones_like(xs), np.full_like(xs, 2), xs], axis=-1)
  dialog = np.isin(np.arange(len(xs)), dialog)
  return long_dreams.Sequence(
    frame=fakes.screens()[xs] if frames is None else frames,
    action=np.array(actions),
    place=place,
    facing=np.full(len(xs), _FACES_RIGHT),
    calm=~dialog,
    dialog=dialog,
  )


def _memory():
  """Nobody gets past column 3: two tried."""
  memory = long_dreams.Memory()
  memory.add(_walk([1, 2, 3, 3, 3], [_RIGHT] * 4 + [_PASS]))
  return memory


def test_walls_are_where_nobody_got_to():
  memory = _memory()
  assert memory.walls == {(1, 2, 4)}
  kept = memory.judge(_walk([3, 3, 3], [_RIGHT, _RIGHT, _PASS]))
  assert (kept["pushed"], kept["through"]) == (2, 0)
  broken = memory.judge(_walk([3, 4, 5], [_RIGHT, _RIGHT, _PASS]))
  assert (broken["pushed"], broken["through"]) == (1, 1)
  # Somebody stands there: it was a person who stood in the way.
  memory.add(_walk([4, 4], [_PASS, _PASS]))
  assert not memory.walls


def test_one_bump_or_a_turn_is_no_wall():
  memory = long_dreams.Memory()
  memory.add(_walk([3, 3], [_RIGHT, _PASS]))
  assert not memory.walls
  turned = _walk([3, 3, 3, 3], [_RIGHT] * 3 + [_PASS])
  memory.add(dataclasses.replace(turned, facing=np.zeros(4, int)))
  assert not memory.walls


def test_a_tile_that_was_never_shown_is_told():
  memory, frames = _memory(), fakes.screens()[[1, 2, 3]].copy()
  assert memory.judge(_walk([1, 2, 3], [7] * 3, frames))["known"] == 3
  frames[1, 80, 17] ^= 3  # one pixel
  found = memory.judge(_walk([1, 2, 3], [7] * 3, frames))
  assert (found["known"], found["frames"]) == (2, 3)


def test_a_place_looks_as_at_the_last_visit_or_not():
  walk = [1, 2, 3, 2, 1]
  found = _memory().judge(_walk(walk, [7] * 5))
  assert (found["visits"], found["alike"]) == (2, 2)
  frames = fakes.screens()[walk].copy()
  frames[4, :16, :8] ^= 1  # 8 tiles of 360: a figure
  frames[3, :72] = fakes.screens()[7][:72]
  found = _memory().judge(_walk(walk, [7] * 5, frames))
  assert (found["visits"], found["alike"]) == (2, 1)


def test_words_of_a_text_box_are_those_of_training():
  frames = np.zeros((3, 144, 40), np.uint8)
  art = np.arange(1, 9, dtype=np.uint8)[:, None] * np.ones(2, np.uint8)

  def write(frame, row, column, letter):
    frame[8 * row : 8 * row + 8, 2 * column : 2 * column + 2] = art + letter

  for column, letter in ((1, 1), (2, 2), (4, 3)):  # two words
    for frame in frames:
      write(frame, 14, column, letter)
  memory = long_dreams.Memory()
  memory.add(_walk([1, 1, 1], [7] * 3, frames, dialog=[0, 1, 2]))
  assert memory.judge(_walk([1] * 3, [7] * 3, frames, [0, 1, 2]))["whole"] == 3
  write(frames[1], 14, 2, 3)  # of known letters, and no word
  found = memory.judge(_walk([1] * 3, [7] * 3, frames, [0, 1]))
  assert (found["texts"], found["whole"], found["known"]) == (2, 1, 3)


def test_a_dream_that_stands_still_or_dissolves_has_collapsed():
  lively = np.arange(200) % 3 + 1
  many = fakes.screens()[np.arange(200) % 12]
  rich = long_dreams.Memory()
  rich.add(_walk(np.ones(200, int), [7] * 200, many))
  assert not rich.judge(_walk(lively, [7] * 200, many))["collapsed"]
  assert rich.judge(_walk(lively, [7] * 200))["collapsed"]  # three pictures
  unknown = long_dreams.Memory().judge(_walk(lively, [7] * 200, many))
  assert unknown["collapsed"] and not unknown["known"]


def test_dreamt_and_recorded_rows_are_read_alike():
  rows = fakes.steps(5, 0)
  rows["game_running"][:] = rows["has_control"][:] = True
  rows["in_battle"][:] = [0, 0, 1, 0, 0]
  rows["dialog_open"][3] = True
  real = long_dreams.recorded(rows)
  sizes = dict.fromkeys(("map", "y", "x", "facing", "battle", "dialog"), 64)
  names = ("map_id", "y", "x", "facing", "in_battle", "dialog_open")
  numbers = np.stack([rows[name].astype(int) for name in names], axis=-1)
  dream = long_dreams.dreamt(rows["frame"], rows["action"], numbers, sizes)
  for field in dataclasses.fields(real):
    np.testing.assert_array_equal(
      getattr(real, field.name), getattr(dream, field.name), field.name
    )
  assert real.calm.tolist() == [True, True, False, False, True]
  with pytest.raises(ValueError, match=r"no \['dialog'\]"):
    long_dreams.check({n: 3 for n in sizes if n != "dialog"})
