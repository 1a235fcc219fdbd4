"""The stages of a quickstart: which there are for a kind of game, and how run.

Each is an ordinary command of this package with a file that says it is done.
"""

from collections.abc import Sequence
import pathlib
from typing import Any

from experiments.runs import stages
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config

# Where nobody can demonstrate, random play is all there is.
_UNDEMONSTRATED_MIX = "sticky_random=0.8,random=0.2"


def check(config: config_lib.Config, rom: Any, cloned: bool = True) -> None:
  """Finds early what would end a later stage.

  Args:
    config: of the whole path.
    rom: a `data_tools.game.roms.Rom`.
    cloned: whether somebody has to demonstrate.

  Raises:
    ValueError: a policy of the mix, a start state or a token is unknown or not
      for this ROM, policies are not trained on the world model's family, nobody
      demonstrates what is to be cloned, or episodes are shorter than the
      windows that are cut from them.
  """
  from data_tools.players import policies
  from data_tools.records import start_mix
  from experiments.runs import inputs
  from pokedreamer_jax.behaviour import objectives
  from pokedreamer_jax.world_model import tokens

  if config.collect.start_states:
    start_mix.resolve(config.collect.start_states, rom)
  mix = policies.parse_mix(config.collect.policy_mix)
  for item in mix:
    policies.make_policy(item.behaviour, rom)
  names = [item.behaviour.partition(":")[0] for item in mix]
  if cloned and rom.kind == "practice" and "demonstrator" not in names:
    raise ValueError(
      f"collect.policy_mix: {config.collect.policy_mix!r} without demonstrator "
      "leaves nobody to clone; run the stages by hand instead"
    )
  tokens.check(
    config.world_model.token_sizes, config.world_model.unseen_tokens.split()
  )
  config.world_model.check_reward_terms()
  if rom.kind != "unknown":  # of which no policy is trained
    objectives.check(config)
    inputs.check_goals(config)
  if rom.kind == "pokemon_red" and not config.policy.scratch_updates:
    raise ValueError(
      "policy.scratch_updates: 0, expected at least 1: nobody demonstrates "
      "this game, so its one policy is trained from scratch"
    )
  evaluate = config.evaluate
  longest = max(config.train.seq_len, evaluate.context + evaluate.horizon)
  if config.collect.episode_length < longest:
    raise ValueError(
      f"collect.episode_length: {config.collect.episode_length}, expected at "
      f"least {longest}: train.seq_len, evaluate.context + evaluate.horizon"
    )


def taught(config: config_lib.Config) -> tuple[str, ...]:
  """The flag that limits what a policy's clone is shown; none for all.

  `clone.max_rows` says it by itself, and then of every clone.
  """
  few = config.clone.few_rows
  if not few or config.clone.max_rows:
    return ()
  return (f"--set=clone.max_rows={few}",)


def rom_arguments(rom_path: str | None) -> list[str]:
  """The flag that names the ROM in a command; none for chapter one."""
  return [f"--rom={rom_path}"] if rom_path else []


def remarks(config: config_lib.Config, rom: Any) -> list[str]:
  """What is to be said of a configuration beside its numbers.

  What it leaves out, and a preset and a ROM that go together, but not well.
  """
  from data_tools.game import start_states

  notes = []
  if rom.kind == "practice" and not config.policy.scratch_updates:
    notes.append(
      "no policy is trained from scratch (policy.scratch_updates is 0): what "
      "cloning adds is not measured here, see docs/results.md"
    )
  named = start_states.names(rom.sha1)
  if not named or config.collect.start_states:
    return notes
  world = named[0].partition("/")[0]
  fitting = [
    name
    for name in presets.PRESETS
    if f"{world}/" in presets.make(name).collect.start_states
  ]
  made = f"; --preset={' or '.join(fitting)} is made for it" if fitting else ""
  return [
    *notes,
    f"preset {config.preset} begins every episode at power-on "
    f"(collect.start_states is empty): of {rom.path.stem}, a world of "
    f"{len(rom.map_names)} maps with {len(named)} start states, only what "
    f"players reach in {config.collect.episode_length} steps is "
    f"recorded{made}",
  ]


def adapt(kind: str) -> tuple[list[str], list[str]]:
  """Overrides that a kind of game needs, and what to tell about it."""
  if kind == "practice":
    return [], []
  overrides = [f"collect.policy_mix={_UNDEMONSTRATED_MIX}"]
  if kind == "pokemon_red":
    overrides += [
      f"world_model.tokens={world_model_config.POKEMON_RED_TOKENS}",
      "policy.scratch_updates=150",  # the one policy that there can be
    ]
    return overrides, [
      "nobody demonstrates this game: no clone; the policy is trained from "
      "scratch on random play, so expect little of it"
    ]
  # Without memory there is no place, and so no map of places.
  overrides += ["world_model.ram=off", "world_model.atlas=off"]
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
    kind: of the ROM, as `data_tools.game.roms` names it.
    rom_path: the ROM to name in every command; None for the cartridge.
    config_arguments: `--preset --seed --set` for every stage.
    config: the configuration that they describe.
  """
  rom = rom_arguments(rom_path)
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
      # Looks at honesty play the game.
      *(rom if config.policy.honesty_every else ()),
    )

  def add_clone(name: str, title: str, *arguments: str) -> None:
    add(
      name,
      title,
      "clone_behaviour",
      workdir / name,
      f"--workdir={workdir / name}",
      f"--data_dir={data}",
      f"--world_model={model}",
      *arguments,
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
    clone, few = workdir / "clone", taught(config)
    players.append("demonstrator")
    title = "Clone the demonstrator"
    if few:
      add_clone("clone_all", f"{title}, all that it showed")
      players.append(f"clone_all={workdir / 'clone_all'}")
      title = f"Clone {config.clone.few_rows} of its steps"
    add_clone("clone", title, *few)  # before what the user sets
    add_policy("policy", "Train the policy in dreams", str(clone))
    players.append(f"clone={clone}")
    players += [f"policy={workdir / 'policy'}"]
    if config.policy.scratch_updates:
      add_policy("policy_scratch", "The same without the clone", "")
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
      "--set=evaluate.videos=policy",  # before what the user sets
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
