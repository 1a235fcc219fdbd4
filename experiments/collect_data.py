"""Records episodes of play from the emulator.

    python -m experiments.collect_data --workdir=DIR

The same command on the same directory continues where it stopped, and prints
the summary when all is there; a larger --episodes adds to it. A ROM is looked
for in --rom, then in the environment variable POKEDREAMER_ROM; without either
the practice cartridge is played. The policy mix says which share of the
episodes each player gets:

    --policy=demonstrator:eps=0.1=0.5,sticky_random=0.3,random=0.2

Players are random, sticky_random, demonstrator (practice cartridges only),
hasty (these too; challenges leaders too early, and is not cloned) and wanderer
(these too; goes where no errand leads); eps is the probability that an action
is random instead. Learned players stand in the same mix: the
newest checkpoint of a run, or a frozen PPO policy of Stable-Baselines3, as of
PWhiddy's Pokemon Red baseline:

    --policy=policy=RUN_DIR:eps=0.1=0.5,sb3=PATH.zip=0.3,random=0.2

Episodes start at power-on, at --save_state, or each at one of several states,
which are kept in DIR/states:

    --start_states=power_on=0.5,great_vale/first_badge=0.25,PATH.state.xz=0.25

Many machines may fill one shared folder, without locks and without knowing of
each other, as a job array starts them; any of them may be killed and started
again at any time:

    --collector_index=auto --collector_count=8

What a policy plays joins what it learned from, in the same folder but as a run
of its own, and whoever trains next reads both:

    --workdir=runs/mine/own_play --add_to=runs/mine/data --policy=policy=RUN_DIR

A policy that reads goals is led by the offline planner where its item says so,
by what the folder that it joins teaches, or by --knowledge; that is kept in
DIR, so that a collection goes on with what it began with:

    --add_to=runs/mine/data --policy=policy=RUN_DIR:planner=0.7,random=0.3

Beside a learner, --follow=RUN_DIR collects one round of --episodes after the
other until it is stopped, each with the checkpoint of RUN_DIR that is newest
by then, and freezes a generation after each (`collect_follow`).
"""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
from typing import Any

from experiments.playing import collect_follow
from experiments.playing import learned_players
from experiments.reports import collect_coverage
from experiments.reports import collect_summary
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib

cli.define_run_flags()
cli.string("out_dir", None, "The same as --workdir.")
_ROM = cli.define_rom()
_OTHER_ROM = cli.define_other_rom()
_SAVE_STATE = cli.string(
  "save_state", None, "Emulator state to start from; default: power-on."
)
_EPISODES = cli.integer("episodes", None, "Sets collect.episodes.")
_EPISODE_LENGTH = cli.integer(
  "episode_length", None, "Sets collect.episode_length, in env steps."
)
_POLICY = cli.string("policy", None, "Sets collect.policy_mix.")
_WORKERS = cli.integer("workers", None, "Sets collect.workers: processes.")
_START_STATES = cli.string("start_states", None, "Sets collect.start_states.")
_INDEX = cli.string(
  "collector_index",
  "0",
  "Number of this collector, from 0; or auto, what SLURM's job array or "
  "Kubernetes' Indexed Job calls it.",
)
_COUNT = cli.integer(
  "collector_count", 1, "Collectors that share the folder, each its episodes."
)
_ADD_TO = cli.string(
  "add_to", None, "Folder of experience that the records join; default: DIR."
)
_COUNT_NEW = cli.boolean(
  "count_new",
  False,
  "Counts how many of the frames no other collection in the folder shows, and "
  "puts it into the result; reads all records once.",
)
_FOLLOW = cli.string(
  "follow", None, "Collects rounds with the newest checkpoint of this run."
)
_KNOWLEDGE = cli.string(
  "knowledge", "", "What planners of players know; default: from --add_to."
)

# What may differ when a collection is continued.
FREE = (
  *("collect.episodes", "collect.workers"),
  *("collect.shard_mib", "collect.shard_s"),
)
COLLECTORS_DIR = "collectors"  # run directories, where several share a folder


@dataclasses.dataclass(frozen=True)
class _Job:
  """Everything that is to be recorded, checked."""

  rom: Any
  config: config_lib.CollectConfig  # with weights and SHA-1s instead of paths
  collection: Any
  states: Mapping[str, bytes]  # by SHA-1
  players: learned_players.Players
  share: Any
  notes: list[str]
  learned: Mapping[str, Any] | None  # what planners know, to be kept


def main() -> None:
  """Collects what is missing, then sums up what is there."""
  root = cli.workdir("out_dir")
  if _FOLLOW.value:
    _follow(root, _FOLLOW.value)
    return
  job = _prepare()
  values = _recorded(job)
  workdir = root
  if _ADD_TO.value:
    root = _joined(_ADD_TO.value, job)
    values["add_to"] = True
  if job.share.count > 1:
    run_directory.claim(root, "collect", values, FREE)
    workdir = root / COLLECTORS_DIR / f"{job.share.index:03d}"
  with run_directory.open_run(workdir, "collect", values, FREE) as run:
    if job.learned is not None:
      from experiments.playing import planner_knowledge

      planner_knowledge.keep(
        dict(job.learned), workdir / planner_knowledge.FILE
      )
    for note in (f"collect: playing {job.rom.describe()}", *job.notes):
      run.log(note)
    run.finish(_collect(run, root, job))


def _joined(directory: str, job: _Job) -> pathlib.Path:
  """The folder that records join, which must hold some of the same game."""
  from data_tools.records import generations

  if job.share.count > 1:
    raise ValueError("--add_to and --collector_count: expected one of them")
  roms = inputs.describe(generations.freeze(directory))["roms"]
  if roms != [job.rom.sha1]:
    raise ValueError(
      f"--add_to: {directory} holds the ROM {', '.join(roms)}, and "
      f"{job.rom.describe()} is played, expected the same one"
    )
  return pathlib.Path(directory)


def _follow(root: pathlib.Path, directory: str) -> None:
  """Collects rounds until it is stopped."""
  from data_tools.game import roms

  if _COUNT.value != 1 or _ADD_TO.value:
    other = "add_to" if _ADD_TO.value else "collector_count"
    raise ValueError(f"--follow and --{other}: expected one of them")
  rom = roms.resolve(_ROM.value)
  config, seed, _ = _settings(rom)
  values = {
    "seed": seed,
    "collect": dataclasses.asdict(config),
    "rom_sha1": rom.sha1,
    "follow": True,
  }
  with run_directory.open_run(root, "collect", values, FREE) as run:
    while collect_follow.wait_for(run, directory):
      number = len(collect_follow.rounds(root))
      job = _prepare(number)
      mix = job.config.policy_mix
      run.log(f"collect: round {number} plays {mix}")
      summary = _collect(run, root, job)
      collect_follow.note(
        root,
        {
          "round": number,
          "policy_mix": mix,
          "generation": summary["generation"],
        },
      )
    raise run.stopped(f"{len(collect_follow.rounds(root))} rounds")


def _prepare(round_number: int | None = None) -> _Job:
  """Reads and checks everything before a directory is claimed for it.

  Args:
    round_number: of a round of `--follow`, which has seeds and names of its
      own.
  """
  from data_tools.collecting import collector
  from data_tools.collecting import files as collect_files
  from data_tools.game import emulator
  from data_tools.game import roms
  from data_tools.records import start_mix

  rom = roms.resolve(_ROM.value)
  save_state = emulator.read_save_state(_SAVE_STATE.value, rom)
  config, seed, notes = _settings(rom)
  index = collect_files.collector_index(_INDEX.value, os.environ)
  share = collect_files.Share(index, _COUNT.value)
  share.numbers(config.episodes)
  learned: list[Mapping[str, Any]] = []  # by the call below, if at all
  mix, players, remarks = learned_players.resolve(
    config.policy_mix,
    rom,
    round_number,
    _OTHER_ROM.value,
    lambda: _knowledge(rom, learned),
  )
  if round_number is not None:
    seed = collect_follow.seed_of(seed, round_number, mix)
  starts = config.start_states
  states: Mapping[str, bytes] = {}
  if starts:
    if save_state is not None:
      raise ValueError("--save_state and --start_states: expected one of them")
    starts, states = start_mix.resolve(starts, rom)
  config = dataclasses.replace(config, policy_mix=mix, start_states=starts)
  collection = collector.make_collection(
    rom,
    seed,
    config.episode_length,
    config.policy_mix,
    config.jitter_frames,
    save_state,
    config.start_states,
  )
  if save_state is not None:
    with emulator.Emulator(rom) as game:
      game.reset(0, save_state)
    states = {collection.start_state_sha1: save_state}
  return _Job(
    *(rom, config, collection, states, players, share, [*notes, *remarks]),
    learned[0] if learned else None,
  )


def _knowledge(rom: Any, learned: list[Mapping[str, Any]]) -> Any:
  """What planners know; what is to be kept is appended to `learned`."""
  from experiments.playing import planner_knowledge
  from experiments.playing import planners

  kept = cli.workdir("out_dir") / planner_knowledge.FILE
  path, records = _KNOWLEDGE.value, _ADD_TO.value or ""
  if not path and kept.exists():  # the records may have grown since
    path = str(kept)
  found, values = planners.read_knowledge(
    path, "" if path else records, rom.sha1
  )
  if values is not None:
    learned.append(values)
  return found


def _recorded(job: _Job) -> dict[str, Any]:
  """What the run directory records, and compares when it is continued."""
  return {
    "seed": job.collection.seed,
    "collect": dataclasses.asdict(job.config),
    "rom_sha1": job.rom.sha1,
    "start_state_sha1": job.collection.start_state_sha1,
    "pyboy_version": job.collection.pyboy_version,
  }


def _settings(rom: Any) -> tuple[config_lib.CollectConfig, int, list[str]]:
  """What to collect, the seed, and remarks on how that came about."""
  from data_tools.players import policies

  whole = cli.make_config()
  followed = f"policy={_FOLLOW.value}:eps=0.1" if _FOLLOW.value else None
  given = {
    "episodes": _EPISODES.value,
    "episode_length": _EPISODE_LENGTH.value,
    "policy_mix": followed if _POLICY.value is None else _POLICY.value,
    "workers": _WORKERS.value,
    "start_states": _START_STATES.value,
  }
  config = dataclasses.replace(
    whole.collect, **{k: v for k, v in given.items() if v is not None}
  )
  preset_mix = presets.make(whole.preset).collect.policy_mix
  if config.policy_mix != preset_mix:
    return config, whole.seed, []
  # The preset's own mix gives way to the ROM; a mix that was asked for is an
  # error where it cannot be played.
  mix = policies.playable_mix(preset_mix, rom)
  if mix == preset_mix:
    return config, whole.seed, []
  note = f"collect: no demonstrator for this game, playing {mix}"
  return dataclasses.replace(config, policy_mix=mix), whole.seed, [note]


def _collect(
  run: run_directory.Run, root: pathlib.Path, job: _Job
) -> dict[str, Any]:
  """Collects what is missing, freezes a generation and sums it up."""
  from data_tools.collecting import collector
  from data_tools.collecting import files as collect_files
  from data_tools.records import generations
  from data_tools.records import shards
  from data_tools.records import start_mix

  config, share = job.config, job.share
  start_mix.keep(root, job.states, job.rom.sha1)
  total = len(share.numbers(config.episodes))
  with progress.Progress("collect", total, "episodes") as bar:
    result = collector.collect(
      root,
      job.rom,
      job.collection,
      config.episodes,
      config.workers,
      shard_bytes=config.shard_mib << 20,
      shard_s=config.shard_s,
      progress=lambda p: bar.update(p.episodes, **collect_summary.live(p)),
      stop=lambda: run.stop_requested,
      states=job.states,
      players=job.players,
      share=share,
    )
  if result.unfinished:
    run.log(
      f"collect: {len(result.unfinished)} unfinished shards removed, their "
      f"episodes played again: {', '.join(result.unfinished)}"
    )
  if result.stopped:
    raise run.stopped(
      f"{result.new_episodes} new episodes, {result.new_steps} new steps"
    )
  if result.new_episodes:
    run.log(collect_summary.closing(result, config.workers))
  generation = generations.freeze(root)
  covered = collect_coverage.measure(generation, job.rom)
  for line in (
    *generation.report(),
    *collect_summary.table(generation),
    *collect_coverage.lines(covered, job.rom.has_ram_fields),
  ):
    run.log(line)
  summary = {
    "episodes": generation.num_episodes,
    "steps": generation.num_steps,
    "bytes": generation.size_bytes,
    "generation": generation.digest,
    "workers_replaced": result.workers_replaced,
    "left_out": [str(item) for item in generation.skipped],
    "behaviours": collect_summary.by_behaviour(generation),
    "coverage": covered,
  }
  names = {job.collection.digest, *job.collection.earlier.values()}
  if _COUNT_NEW.value:
    from data_tools.records import new_frames

    new = new_frames.count(generation, names)
    summary["new_frames"] = new
    run.log(collect_summary.new_frames(new))
  if share.count > 1:
    there = {
      entry.header.episode
      for _, entry in generation.episodes()
      if entry.header.collection in names
    }
    missing = collect_files.owed(there, config.episodes, share.count)
    run.log(collect_summary.owed(missing, share.index, config.episodes))
    summary["owed"] = missing
    if not missing:  # the folder is complete, whoever was the last
      shards.write_json(root / "result.json", whole_files.seal(summary))
  return summary


if __name__ == "__main__":
  cli.run_main(main)
