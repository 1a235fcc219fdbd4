"""Recordings of a terminal, drawn again."""

import json
import sys

import numpy as np
from PIL import Image
from PIL import ImageFont
import pytest

from experiments.reports import terminal_films


def test_a_screen_shows_what_a_terminal_does():
  screen = terminal_films.Screen(10, 3)
  screen.feed("one\r\ntwo\r\n\x1b[1;32mthree\x1b[0m\r\nfour")
  assert screen.text() == "two\nthree\nfour"  # one has scrolled out
  letter, (colour, bold, dim) = screen.cells[1][0]
  assert (letter, bold, dim) == ("t", True, False)
  assert colour[1] > max(colour[0], colour[2])  # green
  screen.feed("\x1b[1A\r\x1b[2KTHREE\x1b[38;5;196m!\x1b[38;2;1;2;3m?")
  assert screen.text() == "two\nTHREE!?\nfour"
  assert screen.cells[1][5][1][0] == (255, 0, 0)
  assert screen.cells[1][6][1][0] == (1, 2, 3)
  screen.feed("\x1b[2J\x1b[H0123456789ab")
  assert screen.text() == "0123456789\nab"
  assert not screen.unknown
  screen.feed("\x1b[3q")
  assert screen.unknown == {"\x1b[3q"}


def test_moments_come_at_even_times_and_sequences_may_be_cut():
  pieces = [(0.4, "a\x1b[3"), (1.2, "1mb"), (3.1, "c\x1b"), (3.2, "[0md")]
  found = [
    (at, screen.text(), set(screen.unknown))
    for at, screen in terminal_films.moments(20, 2, pieces, 1.0)
  ]
  assert found == [
    *((1.0, "a", set()), (2.0, "ab", set()), (3.0, "ab", set())),
    (3.2, "abcd", set()),
  ]


def test_a_command_is_recorded_and_drawn(tmp_path):
  try:
    ImageFont.truetype("DejaVuSansMono.ttf", 13)
  except OSError:
    pytest.skip("the font DejaVu Sans Mono is not installed")
  out = tmp_path / "film.webp"
  program = (
    "import os, sys, time\n"
    "print(os.get_terminal_size().columns, sys.stdout.isatty(), flush=True)\n"
    "time.sleep(0.6)\n"
    "print('\\x1b[31m\\u2501\\u2713\\x1b[0m')\n"
    "sys.exit(3)"
  )
  shared = ["--columns=30", "--lines=4", "--seconds=1", f"--out={out}"]
  code = terminal_films.main([*shared, "--", sys.executable, "-c", program])
  assert code == 3
  columns, lines, pieces = terminal_films.read(out.with_suffix(".cast"))
  assert (columns, lines) == (30, 4)
  assert "".join(text for _, text in pieces).startswith("30 True\r\n")
  film = Image.open(out)
  assert film.n_frames >= 2
  film.seek(film.n_frames - 1)
  red = np.asarray(film.convert("RGB")).astype(int)[:80]
  assert ((red[..., 0] - red[..., 2]) > 80).any()


def test_what_is_no_recording_is_refused_in_a_line(tmp_path, capsys):
  (tmp_path / "x.cast").write_text(json.dumps({"version": 2}) + "\n")
  assert terminal_films.main([f"--out={tmp_path / 'x.webp'}"]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert "x.cast" in line and "asciicast" in line
