"""From nothing to an agent trained in its own dreams, and a report of it.

    python -m experiments.quickstart --workdir=runs/quickstart

Runs the ordinary entry points one after the other and shows their commands.
Ctrl-C saves; the same command goes on where it stopped. When all is done it
prints the result again. `--rom=PATH` plays your own game instead of the
practice cartridge.
"""

from collections.abc import Sequence
import os
import pathlib
import time
from typing import Any

from experiments import cli
from experiments import processes
from experiments import run_directory
from experiments import stages
from experiments import summary
from pokedreamer_jax import config as config_lib
from pokedreamer_jax import world_model_config

cli.define_run_flags("runs/quickstart")
_ROM = cli.string("rom", None, "ROM file; default: the practice cartridge.")

# How often things are logged and saved does not change the outcome.
FREE = (
  "collect.workers",
  *(
    f"{part}.{field}"
    for part in ("train", "clone", "policy")
    for field in ("log_every", "save_every")
  ),
)

# Where nobody can demonstrate, random play is all there is.
_UNDEMONSTRATED_MIX = "sticky_random=0.8,random=0.2"


def main() -> int | None:
  """Plans the stages, runs those that are pending, prints the panel."""
  from data_tools import roms

  workdir = cli.workdir()
  rom = roms.resolve(_ROM.value)
  # A ROM that the environment names is named in the commands that are shown.
  rom_path = _ROM.value or os.environ.get(roms.ROM_VARIABLE)
  overrides, notes = adapt(rom.kind)
  config = cli.make_config(overrides)
  check(config, rom)  # before the directory is claimed for it
  if config.preset == "debug":
    notes.append("preset debug tries the wiring; its numbers mean nothing")
  run = run_directory.open_run(
    workdir,
    "quickstart",
    {**config_lib.to_dict(config), "rom": rom.sha1},
    FREE,
    graceful=False,
  )
  with run:
    arguments = cli.config_arguments(overrides)
    plan = make_plan(workdir, rom.kind, rom_path, arguments, config)
    if stages.pending(plan[1:]):
      run.log(f"Game: {rom.describe()}")
      run.log(f"Preset {config.preset}, seed {config.seed}, in {workdir}")
      for note in notes:
        run.log(f"Note: {note}")
      code = run_plan(plan, run, notes)
      if code:
        return code
    shown = summary.collect(workdir)
    print_panel(shown, workdir, arguments, run)
    run.finish(to_json(shown))
  return 0


def check(config: config_lib.Config, rom: Any) -> None:
  """Finds early what would end a later stage.

  Raises:
    ValueError: a policy of the mix or a token is unknown or not for this ROM,
      policies are not trained on the world model's family, nobody
      demonstrates what is to be cloned, or episodes are shorter than the
      windows that are cut from them.
  """
  from data_tools import policies
  from pokedreamer_jax import tokens

  mix = policies.parse_mix(config.collect.policy_mix)
  for item in mix:
    policies.make_policy(item.behaviour, rom)
  names = [item.behaviour.partition(":")[0] for item in mix]
  if rom.kind == "practice" and "demonstrator" not in names:
    raise ValueError(
      f"collect.policy_mix: {config.collect.policy_mix!r} without demonstrator "
      "leaves nobody to clone; run the stages by hand instead"
    )
  tokens.check(config.world_model.token_sizes)
  config.world_model.check_reward_terms()
  evaluate = config.evaluate
  longest = max(config.train.seq_len, evaluate.context + evaluate.horizon)
  if config.collect.episode_length < longest:
    raise ValueError(
      f"collect.episode_length: {config.collect.episode_length}, expected at "
      f"least {longest}: train.seq_len, evaluate.context + evaluate.horizon"
    )


def adapt(kind: str) -> tuple[list[str], list[str]]:
  """Overrides that a kind of game needs, and what to tell about it."""
  if kind == "practice":
    return [], []
  overrides = [f"collect.policy_mix={_UNDEMONSTRATED_MIX}"]
  if kind == "pokemon_red":
    overrides.append(
      f"world_model.tokens={world_model_config.POKEMON_RED_TOKENS}"
    )
    return overrides, [
      "nobody demonstrates this game: no clone; the policy is trained from "
      "scratch on random play, so expect little of it"
    ]
  overrides.append("world_model.ram=off")
  return overrides, [
    "an unknown game: frames only, without game state and rewards. The world "
    "model is trained and measured; demonstrator, clone and policy are left out"
  ]


def make_plan(
  workdir: pathlib.Path,
  kind: str,
  rom_path: str | None,
  config_arguments: Sequence[str],
  config: config_lib.Config,
) -> list[stages.Stage]:
  """The stages for a kind of game, in order; the first is the doctor.

  Args:
    workdir: of the quickstart.
    kind: of the ROM, as `data_tools.roms` names it.
    rom_path: the ROM to name in every command; None for the cartridge.
    config_arguments: `--preset --seed --set` for every stage.
    config: the configuration that they describe.
  """
  rom = [f"--rom={rom_path}"] if rom_path else []
  data, model = workdir / "data", workdir / "world_model"
  dreams = workdir / "evaluation" / "world_model"
  play = workdir / "evaluation" / "play"
  clip = workdir / "videos" / "demo.mp4"
  plan = [
    stages.Stage(
      "doctor",
      "Look at this machine",
      "experiments.doctor",
      (f"--workdir={workdir}", *rom),
      None,
    )
  ]

  def add(
    name: str,
    title: str,
    module: str,
    directory: pathlib.Path,
    *arguments: str,
    done: str = "result.json",
    configured: bool = True,
  ) -> None:
    shared = config_arguments if configured else ()
    plan.append(
      stages.Stage(
        name,
        title,
        f"experiments.{module}",
        (*arguments, *shared),
        directory / done,
      )
    )

  def add_policy(name: str, title: str, clone: str) -> None:
    add(
      name,
      title,
      "train_policy",
      workdir / name,
      f"--workdir={workdir / name}",
      f"--data_dir={data}",
      f"--world_model={model}",
      f"--clone={clone}",
    )

  collect_arguments = (f"--workdir={data}", *rom)
  add("collect", "Play and record", "collect_data", data, *collect_arguments)
  add(
    "world_model",
    "Train the world model",
    "train_rssm",
    model,
    f"--workdir={model}",
    f"--data_dir={data}",
  )
  add(
    "dreams",
    "Measure its dreams",
    "evaluate",
    dreams,
    "--what=world_model",
    "--set=evaluate.detail=quick",  # before what the user sets
    f"--workdir={dreams}",
    f"--world_model={model}",
    f"--data_dir={data}",
    *rom,
  )
  players = ["random", "sticky_random"]
  star = model  # whose clip is made
  if kind == "practice":
    clone = workdir / "clone"
    add(
      "clone",
      "Clone the demonstrator",
      "clone_behaviour",
      clone,
      f"--workdir={clone}",
      f"--data_dir={data}",
      f"--world_model={model}",
    )
    add_policy("policy", "Train the policy in dreams", str(clone))
    add_policy("policy_scratch", "The same without the clone", "")
    players += ["demonstrator", f"clone={clone}"]
    players += [f"policy={workdir / 'policy'}"]
    players += [f"policy_scratch={workdir / 'policy_scratch'}"]
    star = workdir / "policy"
  elif kind == "pokemon_red":
    add_policy("policy_scratch", "Train the policy in dreams", "")
    players += [f"policy_scratch={workdir / 'policy_scratch'}"]
    star = workdir / "policy_scratch"
  if kind != "unknown":
    add(
      "play",
      "Play in the emulator",
      "evaluate",
      play,
      "--what=play",
      f"--workdir={play}",
      *rom,
      *(f"--player={player}" for player in players),
    )
  add(
    "video",
    "Film emulator and dream",
    "generate_demo_video",
    clip.parent,
    f"--checkpoint={star}",
    f"--steps={min(config.collect.episode_length, 120)}",
    f"--out_video={clip}",
    *rom,
    f"--seed={config.seed}",
    done="demo.json",
    configured=False,
  )
  add(
    "report",
    "Write the report",
    "report",
    workdir,
    f"--workdir={workdir}",
    done="report.html",
    configured=False,
  )
  return plan


def run_plan(
  plan: Sequence[stages.Stage],
  run: run_directory.Run,
  notes: Sequence[str],
) -> int:
  """Runs the pending stages; 0, or the exit code of the one that ended badly.

  The report is written last, after the costs of all others are known.
  """
  log_path = run.path / "log.txt"
  costs = summary.read_costs(run.path)
  costs["notes"] = list(notes)
  known = costs.setdefault("stages", {})
  costs["commands"] = {stage.name: stage.command for stage in plan}
  news = False  # anything that makes the report out of date
  for number, stage in enumerate(plan, 1):
    head = f"[{number}/{len(plan)}] {stage.title}"
    if stage.finished and not (news and stage is plan[-1]):
      run.log(f"{head}: done already")
      continue
    run.log(f"\n{head}\n$ {stage.command}")
    outcome = stages.run(stage, log_path)
    news = news or stage.done is not None
    old = known.get(stage.name, {"wall_s": 0.0, "peak_bytes": 0})
    known[stage.name] = {
      "wall_s": old["wall_s"] + outcome.wall_s,
      "peak_bytes": max(old["peak_bytes"], outcome.peak_bytes),
    }
    costs["disk_bytes"] = processes.disk_bytes(run.path)
    costs["finished"] = time.strftime("%Y-%m-%d %H:%M")
    run_directory.write_json(run.path / "costs.json", costs)
    # A stage that was nearly done may end well in spite of a signal.
    if outcome.exit_code or outcome.signal is not None:
      return _ended_badly(stage, outcome, run)
  return 0


def print_panel(
  shown: summary.Summary,
  workdir: pathlib.Path,
  config_arguments: Sequence[str],
  run: run_directory.Run,
) -> None:
  """The closing panel, on the screen and in the log."""
  lines = ["", "=" * 78, "Result", ""]
  lines += summary.plain_tables([*shown.tables, shown.costs])
  lines += summary.plain_verdicts(shown.verdicts)
  lines += [f"Note: {note}" for note in shown.notes]
  lines += ["", f"Report: {workdir / 'report.html'}", "", "Next:"]
  lines += [f"  {text}" for text in next_commands(workdir, config_arguments)]
  run.log("\n".join(lines))


def next_commands(
  workdir: pathlib.Path, config_arguments: Sequence[str]
) -> list[str]:
  """Three commands worth trying now, each with what it does."""
  longer = cli.command_line(
    "experiments.train_rssm",
    [
      f"--workdir={workdir / 'world_model_longer'}",
      f"--data_dir={workdir / 'data'}",
      *(a for a in config_arguments if "train.steps" not in a),
      "--set=train.steps=20000",
    ],
  )
  star = workdir / "policy"
  star = star if star.exists() else workdir / "world_model"
  clip = cli.command_line(
    "experiments.generate_demo_video",
    [f"--checkpoint={star}", "--seed=1", "--out_video=demo.mp4"],
  )
  speed = cli.command_line("experiments.benchmark_imagination", [])
  return [
    f"{longer}   # train the world model longer",
    f"{clip}   # another clip",
    f"{speed}   # imagined steps per second",
  ]


def to_json(shown: summary.Summary) -> dict[str, Any]:
  """The result of the quickstart, for programs."""
  return {
    "verdicts": [
      {"holds": verdict.holds, "text": verdict.text}
      for verdict in shown.verdicts
    ],
    "tables": [
      {"title": table.title, "header": table.header, "rows": table.rows}
      for table in [*shown.tables, shown.costs]
    ],
  }


def _ended_badly(
  stage: stages.Stage, outcome: stages.Outcome, run: run_directory.Run
) -> int:
  command = cli.command_line()
  if outcome.signal is not None:
    run.log(f"Stopped during {stage.name}. To continue: {command}")
    return 128 + outcome.signal
  run.log(
    f"Error: {stage.name} ended with exit code {outcome.exit_code}; what is "
    f"done is kept. Once mended, continue with: {command}"
  )
  return outcome.exit_code


if __name__ == "__main__":
  cli.run_main(main)
