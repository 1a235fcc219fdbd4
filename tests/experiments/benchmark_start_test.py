"""How soon commands answer: processor and clock, to the first output."""

import json
import subprocess
import sys
import time

from experiments import benchmark_start
from experiments.__main__ import verbs
from experiments.speed import starting


def _python(code):
  return [sys.executable, "-c", code]


def test_the_first_output_counts_and_then_the_command_is_ended():
  began = time.monotonic()
  found = starting.measure(
    _python(
      "import time\n"
      "end = time.process_time() + 0.5\n"
      "while time.process_time() < end: pass\n"
      "print('one', flush=True)\n"
      "time.sleep(60)\n"
      "print('two')"
    ),
    to_end=False,
  )
  assert time.monotonic() - began < 30
  assert found.line == "one" and found.code is None
  # Half a second, read off a clock of hundredths.
  assert 0.4 <= found.cpu_s <= found.whole_cpu_s
  assert found.cpu_s <= found.wall_s + 0.1 <= found.whole_wall_s + 0.1


def test_to_its_end_is_to_its_end():
  found = starting.measure(
    _python("import time; print('a', flush=True); time.sleep(0.5); exit(3)"),
    to_end=True,
  )
  assert found.code == 3 and found.whole_wall_s > found.wall_s + 0.4
  # What only waits uses no processor.
  assert found.whole_cpu_s < found.whole_wall_s


def test_what_ends_without_a_word_has_no_first_output():
  found = starting.measure(_python("pass"), to_end=False)
  assert (found.wall_s, found.code, found.line) == (None, 0, "")


def test_who_is_silent_for_too_long_is_ended():
  found = starting.measure(
    _python("import time; time.sleep(600)"), to_end=False, limit_s=0.5
  )
  assert (found.wall_s, found.cpu_s, found.code) == (None, None, None)
  assert 0.5 <= found.whole_wall_s < 40


def test_calls_are_of_verbs_and_what_is_slow_is_named():
  assert set(benchmark_start.CALLS) <= set(verbs())
  told = benchmark_start.table(
    {
      "slow": {
        "help": {"cpu_s": 1.6, "wall_s": 3.0},
        "bare": {"cpu_s": 0.2, "wall_s": None, "code": 2, "line": "Error"},
        "start": None,
      }
    }
  )
  assert told.rows == [["slow", "1.60", "3.00", "0.20"]]
  assert "0 of 1 verbs" in told.note and told.note.endswith("Not: slow.")


def test_the_verb_measures_and_writes(tmp_path):
  file = tmp_path / "start.json"
  ended = subprocess.run(
    [
      *(sys.executable, "-m", "experiments.benchmark_start"),
      *("--verbs=compare", "--repeats=1", f"--json={file}"),
    ],
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  result = json.loads(file.read_text())
  (row,) = result["verbs"].values()
  assert 0 < row["help"]["cpu_s"] < benchmark_start.WANTED_HELP_CPU_S
  assert row["bare"]["code"] in (2, None)
  assert "--run is required" in row["bare"]["line"]
  assert result["commit"] and result["machine"]["processor"]
  refused = subprocess.run(
    [*(sys.executable, "-m", "experiments.benchmark_start"), "--verbs=comparo"],
    capture_output=True,
    text=True,
  )
  assert refused.returncode == 2 and "--verbs=comparo" in refused.stderr
