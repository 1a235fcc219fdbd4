"""Records episodes of play from the emulator.

    python -m experiments.collect_data --workdir=DIR

The same command on the same directory continues where it stopped, and prints
the summary when all is there; a larger --episodes adds to it. A ROM is looked
for in --rom, then in the environment variable POKEDREAMER_ROM; without either
the practice cartridge is played. The policy mix says which share of the
episodes each player gets:

    --policy=demonstrator:eps=0.1=0.5,sticky_random=0.3,random=0.2

Players are random, sticky_random and demonstrator (practice cartridges only);
eps is the probability that an action is random instead. A frozen PPO policy
of Stable-Baselines3, as of PWhiddy's Pokemon Red baseline, plays alone:

    --policy=sb3=PATH.zip  or  --policy=sb3=PATH.zip:eps=0.1
"""

import dataclasses
from typing import Any

from absl import flags

from experiments import cli
from experiments import collect_sb3
from experiments import progress
from experiments import run_directory
from pokedreamer_jax import config as config_lib

cli.define_run_flags()
_OUT_DIR = cli.string("out_dir", None, "The same as --workdir.")
_ROM = cli.string("rom", None, "ROM file; default: the practice cartridge.")
_SAVE_STATE = cli.string(
  "save_state", None, "Emulator state to start from; default: power-on."
)
_EPISODES = cli.integer("episodes", None, "Sets collect.episodes.")
_EPISODE_LENGTH = cli.integer(
  "episode_length", None, "Sets collect.episode_length, in env steps."
)
_POLICY = cli.string("policy", None, "Sets collect.policy_mix.")
_WORKERS = cli.integer("workers", None, "Sets collect.workers: processes.")

# What may differ when a collection is continued.
FREE = (
  *("collect.episodes", "collect.workers"),
  *("collect.shard_mib", "collect.shard_s"),
)


def main() -> None:
  """Collects what is missing, then sums up what is there."""
  from data_tools import collect
  from data_tools import emulator
  from data_tools import roms

  rom = roms.resolve(_ROM.value)
  save_state = emulator.read_save_state(_SAVE_STATE.value, rom)
  config, seed, notes = _settings(rom)
  # Everything is checked before the directory is claimed for it.
  collection: Any
  make_policy = None
  if config.policy_mix.startswith(collect_sb3.PREFIX):
    collection, make_policy = collect_sb3.prepare(config, seed, rom, save_state)
    config = dataclasses.replace(config, policy_mix=collection.behaviour)
  else:
    collection = collect.make_collection(
      rom,
      seed,
      config.episode_length,
      config.policy_mix,
      config.jitter_frames,
      save_state,
    )
  if save_state is not None:
    with emulator.Emulator(rom) as game:
      game.reset(0, save_state)
  run = run_directory.open_run(
    _OUT_DIR.value or cli.workdir(),
    "collect",
    {
      "seed": seed,
      "collect": dataclasses.asdict(config),
      "rom_sha1": rom.sha1,
      "start_state_sha1": emulator.state_sha1(save_state),
      "pyboy_version": emulator.pyboy_version(),
    },
    FREE,
  )
  with run:
    for note in (f"collect: playing {rom.describe()}", *notes):
      run.log(note)
    _collect(run, rom, save_state, config, collection, make_policy)


def _settings(rom: Any) -> tuple[config_lib.CollectConfig, int, list[str]]:
  """What to collect, the seed, and remarks on how that came about."""
  from data_tools import policies

  whole = cli.make_config()
  given = {
    "episodes": _EPISODES.value,
    "episode_length": _EPISODE_LENGTH.value,
    "policy_mix": _POLICY.value,
    "workers": _WORKERS.value,
  }
  config = dataclasses.replace(
    whole.collect, **{k: v for k, v in given.items() if v is not None}
  )
  preset_mix = config_lib.make(flags.FLAGS.preset).collect.policy_mix
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
  run: run_directory.Run,
  rom: Any,
  save_state: bytes | None,
  config: config_lib.CollectConfig,
  collection: Any,
  make_policy: Any = None,
) -> None:
  from data_tools import collect
  from data_tools import generations
  from data_tools import lockstep

  with progress.Progress("collect", config.episodes, "episodes") as bar:
    rest = (
      config.shard_mib << 20,
      config.shard_s,
      lambda p: bar.update(
        p.episodes, steps=f"{p.steps:,}", steps_per_s=f"{p.steps_per_s:,.0f}"
      ),
      lambda: run.stop_requested,
    )
    if make_policy is not None:
      result = lockstep.collect(
        run.path,
        collection,
        make_policy,
        config.episodes,
        collect_sb3.ENVS_PER_WORKER * config.workers,
        config.workers,
        *rest,
      )
    else:
      result = collect.collect(
        run.path,
        rom,
        collection,
        config.episodes,
        config.workers,
        save_state,
        *rest,
      )
  if result.unfinished:
    run.log(
      f"collect: {len(result.unfinished)} unfinished shards removed, their "
      f"episodes played again: {', '.join(result.unfinished)}"
    )
  if result.workers_replaced:
    run.log(f"collect: {result.workers_replaced} processes died, replaced")
  if result.stopped:
    raise run.stopped(
      f"{result.new_episodes} new episodes, {result.new_steps} new steps"
    )
  if result.new_episodes:
    run.log(
      f"collect: {result.new_episodes} episodes, {result.new_steps} steps in "
      f"{result.seconds:.0f} s with {config.workers} processes: "
      f"{result.new_steps / result.seconds:,.0f} steps/s"
    )
  generation = generations.freeze(run.path)
  for line in (*generation.report(), *_table(generation)):
    run.log(line)
  run.finish(
    {
      "episodes": generation.num_episodes,
      "steps": generation.num_steps,
      "bytes": generation.size_bytes,
      "generation": generation.digest,
      "workers_replaced": result.workers_replaced,
      "left_out": [str(item) for item in generation.skipped],
      "behaviours": _by_behaviour(generation),
    }
  )


def _by_behaviour(generation: Any) -> dict[str, dict[str, float]]:
  """Means over the episodes of each policy of the mix."""
  groups: dict[str, list[dict[str, float]]] = {}
  for _, entry in generation.episodes():
    groups.setdefault(entry.header.behaviour, []).append(_numbers(entry))
  return {
    behaviour: {
      "episodes": float(len(group)),
      "steps": sum(numbers["steps"] for numbers in group),
      **{
        name: sum(numbers[name] for numbers in group) / len(group)
        for name in group[0]
        if name != "steps"
      },
    }
    for behaviour, group in sorted(groups.items())
  }


def _numbers(entry: Any) -> dict[str, float]:
  """One episode in numbers."""
  terms = entry.summary["reward_terms"]
  return {
    "steps": float(entry.length),
    "badges": terms["badges"],
    "species": terms["species"],
    "maps": float(len(entry.summary["maps"])),
    "tiles": float(entry.summary["tiles"]),
    "battles": float(entry.summary["battles"]),
    "wins": terms["wild_wins"] + terms["trainer_wins"],
  }


def _table(generation: Any) -> list[str]:
  """The summary for a person: totals, then means per episode."""
  table = _by_behaviour(generation)
  width = max(len(name) for name in table)
  columns = list(next(iter(table.values())))
  lines = [
    f"{generation.size_bytes / generation.num_steps:.0f} bytes a step on disk",
    f"{'player':<{width}} " + " ".join(f"{name:>9}" for name in columns),
  ]
  for name, row in table.items():
    cells = [
      f"{row[c]:>9.0f}" if c in ("episodes", "steps") else f"{row[c]:>9.2f}"
      for c in columns
    ]
    lines.append(f"{name:<{width}} " + " ".join(cells))
  return lines


if __name__ == "__main__":
  cli.run_main(main)
