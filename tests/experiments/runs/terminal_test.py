import re

import numpy as np
import pytest

from data_tools.game import frame_codec
from experiments.runs import terminal


def _picture(lines):
  """Palette numbers of the two pixels of every character."""
  rows = []
  for line in lines:
    foreground = background = None
    top, bottom = [], []
    for kind, number, text in re.findall(
      r"\x1b\[([34])8;5;(\d+)m|([ ▀])", line
    ):
      if kind == "3":
        foreground = int(number)
      elif kind == "4":
        background = int(number)
      else:
        top.append(background if text == " " else foreground)
        bottom.append(background)
    rows += [top, bottom]
  return np.array(rows)


def test_every_pixel_is_shown_where_there_is_room():
  shades = np.random.default_rng(0).integers(0, 4, (144, 160)).astype(np.uint8)
  frame = frame_codec.pack_shades(shades)
  picture = _picture(terminal.half_blocks(frame, 160, 72))
  # White; 153 lies between 148 and 158, the first counts; 88; black.
  greys = np.array([231, 246, 240, 16])
  np.testing.assert_array_equal(picture, greys[shades])


@pytest.mark.parametrize(
  "columns, rows, shape",
  [
    (159, 72, (72, 80)),
    (160, 71, (72, 80)),
    (80, 24, (48, 53)),
    (40, 18, (36, 40)),
    (20, 5, (10, 12)),
  ],
)
def test_a_smaller_terminal_gets_a_smaller_picture(columns, rows, shape):
  shades = np.zeros((144, 160), np.uint8)
  shades[:, 80:] = 3  # white on the left, black on the right
  lines = terminal.half_blocks(frame_codec.pack_shades(shades), columns, rows)
  picture = _picture(lines)
  assert picture.shape == shape
  assert len(lines) <= rows and picture.shape[1] <= columns
  assert (picture[:, 0] == 231).all() and (picture[:, -1] == 16).all()


def test_keys_and_those_that_come_in_parts():
  keys = b"\x1b[A\x1bOBx?z\r \x1b[5~q"
  whole, rest = terminal.parse_keys(keys)
  assert whole == ["up", "down", "a", "b", "start", "pass", "quit"]
  assert rest == b""
  for cut in range(len(keys) - 6):
    first, rest = terminal.parse_keys(keys[:cut])
    second, rest = terminal.parse_keys(rest + keys[cut:])
    assert first + second == whole and rest == b"", cut
