"""Measures imagined steps per second, beside rivals, in turns.

    python -m experiments.benchmark_imagination [--preset=tiny] [--cores=1] \\
      [--checkpoint=DIR] [--json=FILE] [--compare=FILE]

One imagined step is one model step of one dream under the policy. Dreams of
`policy.horizon` steps are run as training runs them: actor in the scan; reward,
continue and value after it. In every round each has its turn: ours ("rows",
drawn states as numbers), our plain form ("dense", one-hots), PyTorch eager and
compiled with the published v2's networks of the same sizes
(`requirements-torch.txt`; memory tokens they have none), and a matrix product,
whose speed is the peak. Medians over rounds, bootstrap intervals in brackets.
`--compare` says what became slower than a run that `--json` wrote on the same
machine. The published sizes are `--preset=v2 --set=actor_critic.family=v2`.
With `--update` it is whole updates of actor and critic: a batch of dreams, and
what is learned from it as `train_policy` does; PyTorch's has one epoch in one
batch, or with `--rival_passes` as many epochs and minibatches as ours.
"""

import contextlib
import os
import pathlib
from typing import Any

from data_tools.system import processors
from experiments.machine import provenance
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import json_store

_RIVALS = ("dense", "eager", "compiled")
_PRODUCT = 2048  # rows of the matrix product
_HEADER = (
  f"{'dreams':>6} {'form':<16} {'median ms':>10} {'interval':>19} "
  f"{'steps/s':>9} {'rows faster by':>20} {'compile s':>9}"
)

cli.define_config_flags()
_CHECKPOINT = cli.string(
  "checkpoint", "", "Run directory of a world model or agent."
)
_BATCH_SIZES = cli.string(
  "batch_sizes", "16,64,256,1024", "Dreams side by side, comma-separated."
)
_ROUNDS = cli.integer("rounds", 7, "In each everything has its turn.")
_UPDATE = cli.boolean(
  "update", False, "Times whole updates of actor and critic in their place."
)
_RIVAL_PASSES = cli.boolean(
  "rival_passes",
  False,
  "With --update: PyTorch's make policy.epochs and policy.minibatches of PPO.",
)
_AGAINST = cli.string(
  "against", ",".join(_RIVALS), "Of these, comma-separated; empty: none."
)
_CORES = cli.integer("cores", 0, "Processors to keep to; 0: all there are.")
_CLOCK = cli.choice(
  "clock",
  "wall",
  ("wall", "cpu"),
  "What is compared: time by the clock, or of the processor, which other jobs "
  "on the machine change least (on one core and without an accelerator).",
)
_NOTE = cli.string("note", "", "Goes into the file, such as what else ran.")
_COMPARE = cli.string("compare", "", "A file that --json wrote.")
_JSON = cli.string("json", "", "Also write the results to this file.")


def main() -> None:
  """Times everything in turns and prints the table."""
  from experiments.machine import asked_process
  from experiments.speed import dream_jobs
  from experiments.speed import torch_dreams
  from experiments.speed import torch_rival
  from experiments.speed import turns

  dreams = _batch_sizes(_BATCH_SIZES.value or "")
  against = _against(_AGAINST.value or "")
  rounds, cores = _ROUNDS.value or 0, _CORES.value or 0
  for name, value, least in (("rounds", rounds, 3), ("cores", cores, 0)):
    if value < least:
      raise ValueError(f"--{name}={value}: expected at least {least}")
  recorded = turns.read(_COMPARE.value) if _COMPARE.value else None
  update = bool(_UPDATE.value)
  if update and "dense" in against:
    print("dense: of dreams alone, so updates have no such form")
    against.remove("dense")
  checkpoint = _CHECKPOINT.value or ""
  config = inputs.load_config(checkpoint) if checkpoint else cli.make_config()
  passes = bool(_RIVAL_PASSES.value)
  if update:
    _check_update(config)
  if passes:
    _check_passes(config, update)
  turns.pin(cores)
  threads = processors.available()
  load_before = os.getloadavg()
  with contextlib.ExitStack() as stack:

    def start(make: Any, *arguments: Any) -> Any:
      return stack.enter_context(asked_process.AskedProcess(make, *arguments))

    ours = start(dream_jobs.Dreams, config, checkpoint, update)
    facts = {"rows": ours.ask("describe")}
    machine = turns.machine(facts["rows"]["device"], cores or threads)
    sizes = _sizes(config, facts["rows"]["dtype"])
    if update:
      sizes |= _update_sizes(config, passes)
    if recorded is not None:
      turns.check(
        _COMPARE.value or "", recorded, {"machine": machine, "sizes": sizes}
      )
    processes = {"rows": ours, "dense": ours}
    if {"eager", "compiled"} & set(against):
      if torch_rival.installed():
        rival = start(
          torch_dreams.Dreams, _rival(config, update, passes), threads
        )
        facts["eager"] = rival.ask("describe")
        processes |= {"eager": rival, "compiled": rival}
      else:
        print(
          "PyTorch is not installed (requirements-torch.txt): no rivals, the "
          "rest is measured"
        )
    forms = [name for name in ("rows", *against) if name in processes]
    seconds, prepared = _measure(turns, processes, forms, dreams, rounds)
  clock = _CLOCK.value or "wall"
  by_clock = {
    name: [each.by(clock) for each in taken] for name, taken in seconds.items()
  }
  result = {
    "command": cli.command_line(),
    "commit": provenance.commit(),
    "machine": machine,
    "sizes": sizes,
    "threads": threads,
    "load_average": {"before": load_before, "after": os.getloadavg()},
    "versions": provenance.versions(),
    "facts": facts,
    "prepared": prepared,
    "note": _NOTE.value,
    "wall_seconds": {
      name: [each.wall_s for each in taken] for name, taken in seconds.items()
    },
    **_summarised(turns, by_clock, forms, dreams, config.policy.horizon),
  }
  for line in lines(result):
    print(line)
  if recorded is not None:
    for line in turns.changes(recorded, result["timings"]):
      print(line)
  if _JSON.value:
    path = pathlib.Path(_JSON.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    json_store.write_json(path, result, depth=3)
    print(f"wrote {path}")


def _measure(
  turns: Any,
  processes: dict[str, Any],
  forms: list[str],
  dreams: list[int],
  rounds: int,
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
  """What every form and size took by round; what making them ready took."""
  prepared: dict[str, Any] = {}
  for form in list(forms):
    for size in dreams:
      try:
        prepared[_label(form, size)] = processes[form].ask(
          "prepare", form, size
        )
      except RuntimeError as error:
        if form != "compiled":  # it needs a C++ compiler
          raise
        print(f"torch.compile failed, the rest is measured: {error}"[:300])
        forms.remove(form)
        break
  seconds: dict[str, list[Any]] = {
    turns.PEAK: [],
    **{_label(form, size): [] for size in dreams for form in forms},
  }
  if "eager" in forms:
    seconds[_torch_product()] = []
  for _ in range(rounds):
    seconds[turns.PEAK].append(processes["rows"].ask("product", _PRODUCT))
    if "eager" in forms:
      taken = processes["eager"].ask("product", _PRODUCT)
      seconds[_torch_product()].append(taken)
    for size in dreams:
      for form in forms:
        taken = processes[form].ask("run", form, size)
        seconds[_label(form, size)].append(taken)
  return seconds, prepared


def _summarised(
  turns: Any,
  seconds: dict[str, list[float]],
  forms: list[str],
  dreams: list[int],
  length: int,
) -> dict[str, Any]:
  timings = {name: turns.summary(taken) for name, taken in seconds.items()}
  rows = []
  for size in dreams:
    for form in forms:
      row = {"dreams": size, "form": form, "imagined_steps": size * length}
      median_s = timings[_label(form, size)]["median_ms"] / 1e3
      row["imagined_steps_per_s"] = size * length / median_s
      if form != "rows":
        row["rows_faster_by"] = turns.ratio(
          seconds[_label("rows", size)], seconds[_label(form, size)]
        )
      rows.append(row)
  peaks = {
    name: 2e-9 * _PRODUCT**3 / (timings[name]["median_ms"] / 1e3)
    for name in (turns.PEAK, _torch_product())
    if name in timings
  }
  return {"peak_gflop_per_s": peaks, "rows": rows, "timings": timings}


def lines(result: dict[str, Any]) -> list[str]:
  """The table for a person."""
  sizes, machine = result["sizes"], result["machine"]
  found = [
    f"{machine['device']}, {machine['cpu']}, {machine['cores_used']} cores, "
    + ", ".join(f"{name} {value}" for name, value in sizes.items()),
    *(
      f"{name}: {peak:.0f} GFLOP/s"
      for name, peak in result["peak_gflop_per_s"].items()
    ),
    _HEADER,
    "-" * len(_HEADER),
  ]
  for row in result["rows"]:
    name = _label(row["form"], row["dreams"])
    timing, ready = result["timings"][name], result["prepared"][name]
    low, high = timing["interval_ms"]
    ratio, times = row.get("rows_faster_by"), ""
    if ratio is not None:
      times = (
        f"{ratio['ratio']:.2f} [{ratio['ratio_low']:.2f}, "
        f"{ratio['ratio_high']:.2f}]"
      )
    found.append(
      f"{row['dreams']:>6} {row['form']:<16} {timing['median_ms']:>10.1f} "
      f"{f'[{low:.1f}, {high:.1f}]':>19} {row['imagined_steps_per_s']:>9,.0f} "
      f"{times:>20} {ready['compile_s']:>9.1f}"
    )
  return found


def _label(form: str, dreams: int) -> str:
  return f"{form}, {dreams} dreams"


def _torch_product() -> str:
  return "matrix product, PyTorch"


def _sizes(config: Any, dtype: str) -> dict[str, Any]:
  model = config.world_model
  return {
    "preset": config.preset,
    "family": model.family,
    "deter": model.deter,
    "stoch": f"{model.stoch}x{model.classes}",
    "hidden": model.hidden,
    "tokens": model.token_dim,
    "units": config.actor_critic.units,
    "horizon": config.policy.horizon,
    "dtype": dtype,
    "clock": _CLOCK.value,
  }


def _update_sizes(config: Any, passes: bool = False) -> dict[str, Any]:
  policy = config.policy
  sizes = {
    "update": policy.algorithm,
    "epochs": policy.epochs,
    "minibatches": policy.minibatches,
  }
  return sizes | ({"rival_passes": True} if passes else {})


def _check_passes(config: Any, update: bool) -> None:
  """Raises ValueError where a rival of several passes is not to be had."""
  if not update:
    raise ValueError("--rival_passes: of updates alone, expected --update too")
  if config.policy.algorithm != "ppo":
    raise ValueError(
      f"policy.algorithm: {config.policy.algorithm!r}, --rival_passes expects "
      "'ppo'"
    )


def _check_update(config: Any) -> None:
  """Raises ValueError where nothing learns in dreams as they are made here."""
  if config.world_model.family == "v2":
    raise ValueError(
      "world_model.family: 'v2' predicts no reward terms to learn from, "
      "--update expects 'v3'"
    )
  if config.actor_critic.reads_goal or config.policy.replay_scale:
    raise ValueError(
      "--update: dreams have neither goals nor recorded sequences here, "
      "expected actor_critic.reads_goal=false and policy.replay_scale=0"
    )


def _rival(config: Any, update: bool, passes: bool = False) -> Any:
  from experiments.speed import torch_dreams

  model, policy = config.world_model, config.policy
  return torch_dreams.Sizes(
    deter=model.deter,
    stoch=model.stoch,
    classes=model.classes,
    hidden=model.hidden,
    head_units=model.head_units if model.family == "v2" else model.hidden,
    units=config.actor_critic.units,
    length=config.policy.horizon,
    update=update,
    epochs=policy.epochs if passes else 1,
    minibatches=policy.minibatches if passes else 1,
    clip=policy.clip,
  )


def _batch_sizes(text: str) -> list[int]:
  sizes = text.split(",")
  if not all(size.strip().isdigit() and int(size) > 0 for size in sizes):
    raise ValueError(f"--batch_sizes: {text!r}, expected such as 16,64,256")
  return [int(size) for size in sizes]


def _against(text: str) -> list[str]:
  names = [name.strip() for name in text.split(",") if name.strip()]
  for name in names:
    if name not in _RIVALS:
      raise ValueError(f"--against: {name!r}, expected of {', '.join(_RIVALS)}")
  return names


if __name__ == "__main__":
  cli.run_main(main)
