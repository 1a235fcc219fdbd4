"""Plans: stages one after the other, with what each cost, resumed as they are.

DIR/costs.json    wall time and memory of every stage, and its command
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import pathlib
import time
from typing import Any

from experiments.machine import processes
from experiments.outputs import screen
from experiments.runs import cli
from experiments.runs import json_store
from experiments.runs import live_view
from experiments.runs import progress
from experiments.runs import run_directory
from experiments.runs import stages
from experiments.runs import time_left
from pokedreamer_jax import json_files

# What may differ when a plan is continued: how often things are logged and
# saved does not change the outcome, nor what is filmed.
FREE = (
  *("collect.workers", "train.eval_every"),
  "evaluate.videos",
  *(
    f"{part}.{field}"
    for part in ("train", "clone", "policy")
    for field in ("log_every", "save_every")
  ),
)


def carry_out(
  plan: Sequence[stages.Stage],
  run: run_directory.Run,
  notes: Sequence[str],
  measured_s: Mapping[str, float] | None = None,
  enough: Callable[[stages.Stage], bool] = lambda stage: False,
) -> int:
  """Runs the pending stages; 0, or the exit code of the one that ended badly.

  A terminal shows them in one view (`live_view.py`), anything else their lines.
  The last stage, a report, is run again where an earlier one was run: it
  reads the costs of all others.

  Args:
    plan: stages in order.
    run: of the plan; its `log.txt` keeps what all stages say.
    notes: kept with the costs.
    measured_s: what stages took elsewhere, by name, as far as it is known.
    enough: called with every stage that is done; where it says so, those after
      it are left out.
  """
  log_path = run.path / "log.txt"
  costs = read_costs(run.path)
  costs["notes"] = list(notes)
  known = costs.setdefault("stages", {})
  costs["commands"] = {stage.name: stage.command for stage in plan}
  news = False  # anything that makes the report out of date
  _announce(plan, run, measured_s or {})
  with contextlib.ExitStack() as stack:
    view = None
    if screen.is_lively(run.screen):
      view = live_view.View(plan, measured_s or {}, known, run.screen)
      stack.enter_context(view)
    say = run.log if view is None else run.keep
    for number, stage in enumerate(plan, 1):
      head = f"[{number}/{len(plan)}] {stage.title}"
      if stage.finished and not (news and stage is plan[-1]):
        say(f"{head}: done already")
        if enough(stage):
          break
        continue
      say(f"\n{head}\n$ {stage.command}")
      if view is not None:
        view.begin(stage)
      outcome = stages.run(stage, log_path, view)
      if view is not None:
        view.end(stage, outcome)
      news = news or stage.done is not None
      old = known.get(stage.name, {"wall_s": 0.0, "peak_bytes": 0})
      known[stage.name] = {
        "wall_s": old["wall_s"] + outcome.wall_s,
        "peak_bytes": max(old["peak_bytes"], outcome.peak_bytes),
      }
      costs["disk_bytes"] = processes.disk_bytes(run.path)
      costs["finished"] = time.strftime("%Y-%m-%d %H:%M")
      json_store.write_json(run.path / "costs.json", costs)
      # A stage that was nearly done may end well in spite of a signal.
      if outcome.exit_code or outcome.signal is not None:
        stack.close()
        return _ended_badly(stage, outcome, run)
      if enough(stage):
        break
  return 0


def _announce(
  plan: Sequence[stages.Stage],
  run: run_directory.Run,
  measured_s: Mapping[str, float],
) -> None:
  """Says before anything is begun how long it will take."""
  pending = [stage.name for stage in stages.pending(plan)]
  if not pending:
    return
  left_s = time_left.TimeLeft(measured_s, pending).in_all()
  done = len(plan) - len(pending)
  said = f"{len(plan)} stages" + (f", {done} done already" if done else "")
  if left_s is not None:
    said += f"; about {progress.duration(left_s)} left on 2 CPU cores"
  run.log(f"{said}. Ctrl-C saves; the same command goes on.")


def read_costs(workdir: pathlib.Path) -> dict[str, Any]:
  """Wall time and memory per stage, as the quickstart noted them."""
  path = workdir / "costs.json"
  costs = json_store.read_json(path)
  for name in ("stages", "commands"):
    json_files.as_object(costs.get(name, {}), f"{path}: {name}")
  json_files.as_list(costs.get("notes", []), f"{path}: notes")
  return costs


def _ended_badly(
  stage: stages.Stage, outcome: stages.Outcome, run: run_directory.Run
) -> int:
  command = cli.command_line(here=True)
  if outcome.signal is not None:
    run.log(f"Stopped during {stage.name}. To continue: {command}")
    return 128 + outcome.signal
  run.log(
    f"Error: {stage.name} ended with exit code {outcome.exit_code}; what is "
    f"done is kept. Once mended, continue with: {command}"
  )
  return outcome.exit_code
