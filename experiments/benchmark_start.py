r"""Measures how soon each verb answers: its help, a bare call, a real start.

    python -m experiments.benchmark_start [--quickstart=runs/quickstart] \
      [--verbs=evaluate,report] [--json=FILE] [--markdown]

Three calls of every verb, each a process of its own without a terminal:
`--help` to its end, the best of --repeats; a call without arguments, which most
verbs answer with the flag that is missing; and, with --quickstart, the
directory of one of any preset, an ordinary call up to its first output, at
which it is ended. Of each the processor time of the process, user and system,
beside the clock, which other jobs on the machine change. Calls are made in a
folder that is removed, and so is what they write there; `report` writes that of
the quickstart anew.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib
import platform
import shlex
import sys
import tempfile
from typing import Any

from data_tools.system import processors
from experiments import __main__ as listing
from experiments.machine import numbers
from experiments.machine import provenance
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import json_store
from experiments.runs import run_directory
from experiments.speed import starting

WANTED_HELP_CPU_S = 1.5
# An ordinary call of a verb; of those that are left out there is none without
# a person, a terminal or files of other systems.
CALLS = {
  "doctor": "--workdir={new}",
  "quickstart": "--preset=debug --workdir={new}",
  "train_agent": "--preset=debug --set=agent.updates=10 --workdir={new}",
  "collect_data": "--preset=debug --workdir={new}",
  "make_state": "--script=chapter_one_start --name=start --out_dir={new}",
  "export_npz": "--data_dir={run}/data --out_dir={new}",
  "train_rssm": "--preset=debug --data_dir={run}/data --workdir={new}",
  "clone_behaviour": "--preset=debug --data_dir={run}/data "
  "--world_model={run}/world_model --workdir={new}",
  "train_policy": "--preset=debug --data_dir={run}/data "
  "--world_model={run}/world_model --clone={run}/clone --workdir={new}",
  "train_goal_values": "--preset=debug --data_dir={run}/data "
  "--world_model={run}/world_model --workdir={new}",
  "export_model": "--checkpoint={run}/policy --out={new}",
  "export_minari": "--data_dir={run}/data --out={new} --dataset_id=try-v0",
  "upload_to_hf": "--checkpoint={run}/policy --repo=user/name --workdir={new}",
  "evaluate": "--what=play --player=random --preset=debug --workdir={new}",
  "compare": "--run=one={run}/evaluation/play",
  "report": "--workdir={run}",
  "generate_demo_video": "--checkpoint={run}/policy --steps=60 "
  "--out_video={new}/demo.mp4",
  "play_dream": "--policy={run}/policy --port=0",
  "export_web": "--policy=chapter_one --out={new}",
  "run_agent": "--policy=chapter_one --workdir={new}",
  "serve_planner": "--port=0",
  "benchmark_ablation": "--data_dir={run}/data --preset=debug --workdir={new}",
  "benchmark_acting": "--presets=debug",
  "benchmark_agent": "--presets=tiny",
  "benchmark_atlas": "--data_dir={run}/data --rows=1000",
  "benchmark_data": "",
  "benchmark_imagination": "--checkpoint={run}/world_model",
  "benchmark_training": "--presets=debug",
}
_QUICKSTART = cli.string(
  "quickstart", "", "Directory of a quickstart, for real starts."
)
_VERBS = cli.string("verbs", "", "Which, comma-separated; default: all.")
_REPEATS = cli.integer("repeats", 3, "Calls of --help.")
_NOTE = cli.string("note", "", "Goes into the file, such as what else ran.")
_MARKDOWN = cli.boolean("markdown", False, "Prints the table for a page.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Times every verb, and prints the table."""
  repeats = _REPEATS.value or 0
  if repeats < 1:
    raise ValueError(f"--repeats={repeats}: expected at least 1")
  run = _QUICKSTART.value or ""
  if run:
    run_directory.read_config(run)  # complains if it is none
  load_before = os.getloadavg()
  rows = {}
  for name in _names():
    rows[name] = measure(name, run, repeats)
    print(f"{name}: {_told(rows[name])}", file=sys.stderr, flush=True)
  shown = table(rows)
  form = text_tables.plain_tables
  if _MARKDOWN.value:
    form = text_tables.markdown_tables
  print("\n".join(form([shown])))
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    result = {
      "command": cli.command_line(),
      "commit": provenance.commit(),
      "cpu_count": processors.available(),
      "machine": {
        "processor": numbers.processor() or platform.machine(),
        "system": platform.platform(),
      },
      "load_average": {"before": load_before, "after": os.getloadavg()},
      "versions": provenance.versions(),
      "note": _NOTE.value,
      "wanted_help_cpu_s": WANTED_HELP_CPU_S,
      "verbs": rows,
    }
    json_store.write_json(path, result)
    print(f"wrote {path}")


def measure(name: str, run: str, repeats: int) -> dict[str, Any]:
  """Times one verb.

  Args:
    name: of the verb.
    run: directory of a quickstart; empty for no real start.
    repeats: calls of `--help`, of which the cheapest counts.

  Returns:
    JSON-ready: `help` with `cpu_s` and `wall_s` to its end, `bare` and `start`
    with those of the first output and its `line`, and the exit `code` of
    `bare` where it ended by itself; None where there is no such call.

  Raises:
    ValueError: `--help` fails.
  """
  command = [sys.executable, "-m", f"experiments.{name}"]
  helps = [
    starting.measure([*command, "--help"], to_end=True) for _ in range(repeats)
  ]
  for each in helps:
    if each.code:
      raise ValueError(f"{name} --help: exit code {each.code}, {each.line}")
  best = min(helps, key=lambda each: each.whole_cpu_s)
  found: dict[str, Any] = {
    "help": {
      "cpu_s": round(best.whole_cpu_s, 3),
      "wall_s": round(min(each.whole_wall_s for each in helps), 3),
    },
    "bare": None,
    "start": None,
  }
  with tempfile.TemporaryDirectory() as folder:
    bare = starting.measure(command, to_end=False, folder=folder)
    found["bare"] = _first(bare)
  if run and name in CALLS:
    with tempfile.TemporaryDirectory() as folder:
      places = {"run": pathlib.Path(run).resolve(), "new": f"{folder}/new"}
      call = [*command, *shlex.split(CALLS[name].format_map(places))]
      started = starting.measure(call, to_end=False, folder=folder)
      found["start"] = {"arguments": CALLS[name], **_first(started)}
      for place, path in places.items():  # of no use elsewhere
        line = found["start"]["line"].replace(str(path), f"{{{place}}}")
        found["start"]["line"] = line
  return found


def table(rows: Mapping[str, Mapping[str, Any]]) -> text_tables.Table:
  """Seconds of processor and clock, verb by verb."""
  header = ["verb", "help CPU s", "wall s", "bare CPU s", "wall s"]
  header += ["start CPU s", "wall s", "first output of the start"]
  cells = []
  for name, row in rows.items():
    line = [name]
    for call in ("help", "bare", "start"):
      line += _seconds(row[call])
    start = row["start"] or {}
    cells.append([*line, start.get("line", text_tables.NOTHING)[:48]])
  slow = [n for n, r in rows.items() if r["help"]["cpu_s"] > WANTED_HELP_CPU_S]
  note = (
    "Help: to its end. Bare: a call without arguments, and start: an ordinary "
    "one, up to the first output. CPU: user and system time of the process. "
    f"{len(rows) - len(slow)} of {len(rows)} verbs show their help within "
    f"{WANTED_HELP_CPU_S:g} s of the processor."
  )
  if slow:
    note += f" Not: {', '.join(slow)}."
  title = "How soon verbs answer"
  return text_tables.without_empty(
    text_tables.Table(title, header, cells, [""] * len(cells), note)
  )


def _names() -> Sequence[str]:
  known = list(listing.verbs())
  names = [name for name in (_VERBS.value or "").split(",") if name]
  for name in names:
    if name not in known:
      raise ValueError(f"--verbs={name}: expected some of {', '.join(known)}")
  return names or known


def _first(started: starting.Start) -> dict[str, Any]:
  wall, cpu = started.wall_s, started.cpu_s
  return {
    "cpu_s": None if cpu is None else round(cpu, 3),
    "wall_s": None if wall is None else round(wall, 3),
    "code": started.code,
    "line": started.line,
  }


def _seconds(call: Mapping[str, Any] | None) -> list[str]:
  values = [(call or {}).get(name) for name in ("cpu_s", "wall_s")]
  return [text_tables.NOTHING if v is None else f"{v:.2f}" for v in values]


def _told(row: Mapping[str, Any]) -> str:
  return ", ".join(
    f"{call} {'/'.join(_seconds(row[call]))}"
    for call in ("help", "bare", "start")
    if row[call]
  )


if __name__ == "__main__":
  cli.run_main(main)
