"""A plan on a real pseudo-terminal, and where it is none that can draw."""

import io
import json
import os
import re
import signal
import sys
from unittest import mock

import pytest

from experiments.outputs import colours
from experiments.outputs import folding
from experiments.runs import live_view
from experiments.runs import sparkline
from experiments.runs import time_left
from tests import terminals

_STAGE = """
import sys
import time

from experiments.runs import cli
from experiments.runs import progress
from experiments.runs import run_directory

cli.define_run_flags()
_MODE = cli.string("mode", "", "What to do.")

def main():
  run = run_directory.open_run(cli.workdir(), "fake", {})
  with progress.Progress("fake loop", 40, "updates", every_s=0.2) as bar:
    bar.compiling(about_s=1)
    time.sleep(0.8)
    for step in range(1, 41):
      time.sleep(0.04)
      bar.update(step, loss=100.0 / step, kl=0.5)
      if _MODE.value == "fail" and step == 20:
        print("about to go wrong", flush=True)
        run_directory.read_config("/nowhere")
      if _MODE.value == "wait" and step == 20:
        while not run.stop_requested:
          time.sleep(0.02)
        raise run.stopped("update 20 of 40")
  print("something that a stage tells of itself", flush=True)
  print("Note: one remark that stays on the screen, which is longer than the "
        "terminal is wide and goes on and on", flush=True)
  run.finish({})

cli.run_main(main)
"""

_DRIVER = """
import json, pathlib, sys

from experiments.runs import cli, plans, run_directory, stages

cli.string("plan", "", "JSON.")
cli.define_run_flags()

def main():
  run = run_directory.open_run(cli.workdir(), "quickstart", {}, graceful=False)
  plan = [
    stages.Stage(name, title, "fake_stage", tuple(arguments),
                 pathlib.Path(arguments[0].partition("=")[2]) / "result.json")
    for name, title, arguments in json.loads(cli.required("plan"))
  ]
  code = plans.carry_out(plan, run, [], {name: 10.0 for name, *_ in
                                         json.loads(cli.required("plan"))})
  run.log("the end " + "of a long line of many words " * 6)
  return code

cli.run_main(main)
"""


def _run(folder, columns, lines=24, count=3, modes=(), term="xterm-256color"):
  (folder / "fake_stage.py").write_text(_STAGE)
  (folder / "driver.py").write_text(_DRIVER)
  work = folder / "work"
  plan = [
    (
      f"s{i}",
      f"Stage number {i}",
      [f"--workdir={work / f's{i}'}", f"--mode={dict(modes).get(i, '')}"],
    )
    for i in range(count)
  ]
  sent = []

  def seen(data, descriptor):
    if "wait" in dict(modes).values() and not sent and b"20/40" in data:
      sent.append(True)
      os.write(descriptor, b"\x03")  # Ctrl-C

  code, pieces = terminals.run(
    terminals.with_terminal(
      [
        *(sys.executable, "-m", "driver"),
        *(f"--plan={json.dumps(plan)}", f"--workdir={work}"),
      ]
    ),
    columns,
    lines,
    seen,
    env={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    | {
      "TERM": term,
      "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
      "PYTHONIOENCODING": "utf-8",
    },
  )
  screen = terminals.Screen(columns, lines)
  data = b"".join(piece for _, piece in pieces).decode()
  screen.feed(data)
  return code, screen, data, (work / "log.txt").read_text()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_sees_all_stages_in_one_view(tmp_path, columns):
  code, screen, data, log = _run(tmp_path, columns)
  assert code == 0, screen.text()
  assert not screen.unknown
  text = screen.text()
  # What it would take is said first; each stage has one row in the end.
  assert text.startswith("3 stages; about 30 s left")
  for i in range(3):
    (row,) = re.findall(rf".*Stage number {i}.*", text)
    assert re.search(r"✓.* 0:0\d +0\.\d GiB", row), row
  assert re.search(r"In all ━+  0:\d\d, 0\.\d GiB at most", text), text
  # While they ran there were a bar, values, a curve and the time left.
  assert re.search(r"━+─+  \d+/40 updates  [\d.]+/s  0:0\d left", data)
  assert re.search(r"loss [\d.]+   kl 0\.5", data)
  assert re.search(r"loss [▁▂▃▄▅▆▇█]+ \d+ to [\d.]+", data)
  assert "compiling (about 1 s)" in data
  assert re.search(r"of about 0:\d\d, 0:\d\d left", data)
  assert {"32", "1;36"} & screen.styles or "36" in screen.styles
  # Lines of progress do not scroll by, and no word is broken.
  assert "something that a stage tells" not in text
  assert text.count("one remark that stays") == 3
  assert not screen.wrapped
  assert all(len(row.rstrip()) <= columns for row in screen.rows)
  for word in ("remark", "terminal", "words"):
    assert f"{word} " in text or f"{word}\n" in text
  # The log has everything.
  assert log.count("something that a stage tells") == 3
  assert log.count("$ python -m fake_stage") == 3
  assert "fake loop: 40/40 updates" in log and "\x1b" not in log


def test_a_low_terminal_shows_the_stage_that_runs(tmp_path):
  code, screen, data, _ = _run(tmp_path, 60, lines=12, count=9)
  assert code == 0
  assert not screen.wrapped and not screen.unknown
  assert re.search(r"\d stages before", data)
  assert re.search(r"\d more to come", data)
  for i in range(9):
    assert f"▶ Stage number {i}" in data


def test_a_terminal_that_cannot_draw_gets_lines(tmp_path):
  code, _, data, _ = _run(tmp_path, 80, count=2, term="dumb")
  assert code == 0
  assert "\x1b" not in data and "━" not in data
  assert "[2/2] Stage number 1" in data
  assert "fake loop: 40/40 updates" in data
  assert "something that a stage tells" in data


def test_a_stage_that_fails_shows_its_last_lines(tmp_path):
  code, screen, _, _ = _run(tmp_path, 80, modes={1: "fail"})
  text = screen.text()
  assert code == 2
  assert "about to go wrong" in text
  assert "Error: /nowhere: not a run directory" in text
  assert text.count("Error: /nowhere") == 1
  assert "s1 ended with exit code 2" in text
  assert "✓ Stage number 0" in text and "✓ Stage number 1" not in text


def test_ctrl_c_saves_and_tells_how_to_go_on(tmp_path):
  code, screen, _, log = _run(tmp_path, 100, modes={0: "wait"})
  text = screen.text()
  assert code == 128 + signal.SIGINT, text
  assert "saved at update 20 of 40" in text
  assert "Stopped during s0. To continue" in text
  assert "saved at update 20 of 40" in log


def test_what_is_left_goes_by_what_stages_took():
  left = time_left.TimeLeft({"a": 10.0, "b": 100.0, "c": 20.0}, ["a", "b", "c"])
  assert left.in_all() == 130.0
  left.ended("a", 20.0)  # this machine is half as fast
  assert left.in_all() == 240.0
  assert left.in_all("b", 50.0) == 190.0
  # A loop of updates knows better: 30 of 60 updates at 1 per second.
  told = {"unit": "updates", "done": 30, "total": 60, "per_s": 1.0}
  assert left.in_all("b", 50.0, told) == 30.0 + 40.0
  # Too early for its rate.
  assert left.in_all("b", 50.0, told | {"done": 2}) == 190.0
  # A stage of several loops takes at least what the clock says.
  assert left.in_all("b", 50.0, told | {"unit": "episodes"}) == 190.0
  assert time_left.TimeLeft({"a": 1.0}, ["a", "z"]).in_all() is None


def test_a_curve_over_decades_is_drawn_by_its_logarithm():
  assert sparkline.draw([1, 2, 3, 4, 5, 6, 7, 8], 8) == "▁▂▃▄▅▆▇█"
  decades = sparkline.draw([1000, 100, 10, 1], 8)
  assert decades == "█▆▃▁"
  assert sparkline.draw([1.0] * 100, 10) == "▁" * 10
  assert sparkline.draw([], 10) == ""
  assert sparkline.draw([1, 2], 2, plain=True) == "_#"


def test_long_lines_end_between_words_and_commands_stay_commands():
  words = "Note: " + "some words of a remark " * 8
  folded = folding.fold(words.strip(), 40)
  assert all(len(line) <= 40 for line in folded.split("\n"))
  assert folded.split() == words.split()
  command = "  .venv/bin/python -m experiments.x --a=1 --b=22222222 --c=3   # y"
  assert folding.fold(command, 40).split("\n") == [
    "  # y",
    "  .venv/bin/python -m experiments.x \\",
    "    --a=1 --b=22222222 --c=3",
  ]
  table = "  a table    1.0    2.0    3.0    4.0    5.0    6.0    7.0    8.0"
  assert folding.fold(table, 40) == table
  assert folding.fold("x" * 50, 40) == "x" * 50
  assert folding.fold(words, 0) == words


def test_verdicts_have_colours_on_a_terminal_alone(capsys):
  class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
      return True

    def fileno(self):
      raise OSError

  text = "Result\n[yes] it holds, see [NO] elsewhere\n[NO]  it does not"
  stream = Terminal()
  with mock.patch.dict(os.environ, {"TERM": "xterm-256color"}):
    os.environ.pop("NO_COLOR", None)
    colours.show(text, stream)
  shown = stream.getvalue()
  assert re.sub(r"\x1b\[[\d;]*m", "", shown).strip() == text
  assert "\x1b[1;32m[yes]" in shown and "\x1b[1;31m[NO] " in shown
  assert shown.count("\x1b[1;31m") == 1
  colours.show(text, sys.stdout)
  assert capsys.readouterr().out == text + "\n"


def test_a_line_is_cut_between_words():
  assert live_view._cut("one two three", 20) == "one two three"
  assert live_view._cut("one two three", 12) == "one two..."
