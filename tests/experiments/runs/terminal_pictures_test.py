"""What a terminal is sent is the frame, read as a terminal would read it."""

import base64
import os
import pty
import re
import threading
import tty
import zlib

import numpy as np
import pytest

from data_tools.game import frame_codec
from experiments.runs import terminal_pictures


def _frame(seed=0):
  shades = np.random.default_rng(seed).integers(0, 4, (144, 160))
  shades[:, 40:120] = shades[:, 40:41]  # with long runs
  return frame_codec.pack_shades(shades.astype(np.uint8))


def _of_blocks(lines):
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


def _of_sixels(text):
  """Levels in per cent `[H, W]` that a sixel terminal would show."""
  found = re.fullmatch(
    r'\x1bP0;1q"1;1;(\d+);(\d+)((?:#\d;2;\d+;\d+;\d+)*)(.*)\x1b\\', text
  )
  width, height = int(found[1]), int(found[2])
  levels = {int(n): int(v) for n, v in re.findall(r"#(\d);2;(\d+)", found[3])}
  image = np.full((height, width), -1)
  x = top = 0
  colour = None
  pieces = re.findall(r"#(\d)|!(\d+)(.)|([$-])|([?-~])", found[4])
  for chosen, count, repeated, move, one in pieces:
    if chosen:
      colour = levels[int(chosen)]
    elif move:
      x, top = 0, top + 6 * (move == "-")
    else:
      code, times = ord(repeated or one) - 63, int(count or 1)
      for bit in range(6):
        if code >> bit & 1:
          image[top + bit, x : x + times] = colour
      x += times
      assert x <= width
  return image


def _of_kitty(text):
  """Pixels `[H, W, 3]` and the keys of the first sequence."""
  pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
  assert "".join(f"\x1b_G{k};{d}\x1b\\" for k, d in pieces) == text
  assert all(len(data) <= 4096 for _, data in pieces)
  assert all(keys == "m=1" for keys, _ in pieces[1:-1])
  assert pieces[-1][0].endswith("m=0")
  keys = dict(item.split("=") for item in pieces[0][0].split(","))
  data = zlib.decompress(base64.b64decode("".join(d for _, d in pieces)))
  shape = int(keys["v"]), int(keys["s"]), 3
  return np.frombuffer(data, np.uint8).reshape(shape), keys


def test_half_blocks_show_every_pixel_where_there_is_room():
  frame = _frame()
  picture = _of_blocks(terminal_pictures.half_blocks(frame, 160, 72))
  # White; 153 lies between 148 and 158, the first counts; 88; black.
  greys = np.array([231, 246, 240, 16])
  np.testing.assert_array_equal(picture, greys[frame_codec.unpack(frame)])


@pytest.mark.parametrize(
  "columns, rows, shape",
  [
    (159, 72, (142, 159)),
    (160, 71, (142, 157)),
    (80, 22, (44, 48)),
    (40, 30, (36, 40)),
    (3, 1, (2, 2)),
  ],
)
def test_a_smaller_terminal_is_filled_and_greys_are_averaged(
  columns, rows, shape
):
  shades = np.zeros((144, 160), np.uint8)
  shades[:, 80:] = 3  # white on the left, black on the right
  frame = frame_codec.pack_shades(shades)
  lines = terminal_pictures.half_blocks(frame, columns, rows)
  picture = _of_blocks(lines)
  assert picture.shape == shape
  assert len(lines) <= rows and picture.shape[1] <= columns
  assert (picture[:, 0] == 231).all() and (picture[:, -1] == 16).all()
  weights = terminal_pictures._averages(144, shape[0])
  np.testing.assert_allclose(weights.sum(axis=1), 1.0)
  np.testing.assert_allclose(weights.sum(axis=0), shape[0] / 144)


@pytest.mark.parametrize("times", [1, 3])
def test_sixels_and_kitty_show_every_pixel(times):
  frame = _frame(times)
  grey = frame_codec.unpack_grey(frame).repeat(times, 0).repeat(times, 1)
  per_cent = np.rint(grey / 255 * 100).astype(int)
  shown = _of_sixels(terminal_pictures.sixel(frame, times))
  np.testing.assert_array_equal(shown, per_cent)
  pixels, keys = _of_kitty(terminal_pictures.kitty(frame, times))
  np.testing.assert_array_equal(pixels, grey[..., None].repeat(3, -1))
  # Without an answer, in place of the one before, the cursor where it was.
  assert (keys["q"], keys["C"], keys["i"], keys["p"]) == ("2", "1", "1", "1")


def test_what_a_terminal_answers():
  understand = terminal_pictures.understand
  kitty = understand(b"\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c")
  assert kitty == terminal_pictures.Means("kitty", (10, 20))
  sixel = understand(b"\x1b[?62;4;22c", (7, 14))
  assert sixel == terminal_pictures.Means("sixel", (7, 14))
  for answer in (
    b"",
    b"\x1b[?62;22c",
    b"\x1b[?4c",  # a terminal of class 4, not one with sixels
    b"\x1b[?64;14c",
    b"\x1b_Gi=31;EINVAL:no\x1b\\\x1b[?62c",
  ):
    assert understand(answer).kind == "blocks", answer
  assert understand(b"\x1b[6;0;0t").cell == (8, 16)


def test_as_large_as_there_is_room_for():
  means = terminal_pictures.Means("kitty", (8, 16))
  for columns, rows, times in ((80, 22, 2), (20, 9, 1), (19, 9, 0), (20, 8, 0)):
    assert terminal_pictures.scale(means, columns, rows) == times
  assert terminal_pictures.scale(means, 1000, 1000) == 6
  assert terminal_pictures.rows_taken(means, 2) == 18


@pytest.mark.parametrize(
  ("answer", "kind"),
  [(b"\x1b_Gi=31;OK\x1b\\\x1b[?62;4c", "kitty"), (b"", "blocks")],
)
def test_a_terminal_is_asked_and_need_not_answer(answer, kind):
  ours, theirs = pty.openpty()
  tty.setraw(theirs)
  asked = []

  def terminal():
    asked.append(os.read(ours, 4096))
    os.write(ours, b"x" + answer)  # a key came first

  thread = threading.Thread(target=terminal)
  thread.start()
  found = terminal_pictures.ask(theirs, theirs, timeout_s=0.5)
  thread.join()
  os.close(ours)
  os.close(theirs)
  assert found.kind == kind
  assert asked[0].startswith(b"\x1b_G") and asked[0].endswith(b"\x1b[c")
