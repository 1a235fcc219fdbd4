"""`evaluate --what=agent`: what planners gain over a policy without one.

Every planner gets the same policy, the same seeds and starts: differences are
paired. Games are played side by side, each with a driver of its own, and of
their rows only numbers are kept.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib
import shutil
from typing import Any

from experiments.playing import agent_tally
from experiments.playing import dual_agent
from experiments.playing import planners
from experiments.playing import play_episodes
from experiments.reports import agent_measures
from experiments.reports import play_pictures
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.planner import driver as driver_lib
from pokedreamer_jax.planner import knowledge as knowledge_lib

NONE = agent_measures.NONE
TRACES = "traces"


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is measured, checked."""

  directory: str  # run directory of the policy
  step: int | None  # its checkpoint
  setting: play_episodes.Setting  # of the games, the same for all planners
  choices: Mapping[str, planners.Choice]  # by name, one of them `NONE`
  knowledge: knowledge_lib.Knowledge
  notes: tuple[str, ...]

  @property
  def decides(self) -> dict[str, Any]:
    """For the run directory; holds no key."""
    from data_tools.game import emulator

    return {
      "policy": inputs.fingerprint(self.directory, self.step),
      "rom": self.setting.rom.sha1,
      "save_state": emulator.state_sha1(self.setting.save_state),
      "seeds": list(self.setting.seeds),
      "episode_length": self.setting.length,
      "jitter_frames": self.setting.jitter_frames,
      "knowledge_sha256": self.knowledge.sha256,
      "planners": {n: choice.to_json() for n, choice in self.choices.items()},
    }


def prepare(
  config: config_lib.Config,
  directory: str,
  step: int | None,
  rom_path: str | None,
  other_rom: bool,
  save_state: str | None,
  knowledge_path: str,
  data_dir: str,
  url: str,
  model: str,
) -> Plan:
  """Checks what flags of `evaluate` ask for.

  Raises:
    ValueError: one line that names the flag, the value and what is allowed.
    FileNotFoundError: there is no such file.
  """
  from data_tools.game import emulator
  from data_tools.game import roms

  rom = roms.resolve(rom_path)
  if not rom.has_ram_fields:
    raise ValueError(f"--rom: planners read the game's state: {rom.describe()}")
  inputs.check_kind(directory, agent=True)
  note = inputs.check_rom(directory, rom, other_rom)
  planners.check_reads_goals(directory)
  knowledge, _ = planners.read_knowledge(knowledge_path, data_dir, rom.sha1)
  if not knowledge.maps:
    raise ValueError(
      "--data_dir: planners that know nothing are none to measure, expected "
      "records to learn from, or --knowledge"
    )
  choices = {n: planners.choose(n, "", "") for n in (NONE, "offline")}
  if url:
    choices["url"] = planners.choose("url", url, model)
  setting = play_episodes.Setting(
    rom=rom,
    seeds=play_episodes.make_seeds(config.seed, config.evaluate.episodes),
    length=config.play_length,
    jitter_frames=config.collect.jitter_frames,
    save_state=emulator.read_save_state(save_state, rom),
    workers=config.collect.workers,
  )
  notes = (note,) if note else ()
  return Plan(directory, step, setting, choices, knowledge, notes)


def measure(
  run: run_directory.Run, plan: Plan, config: config_lib.Config
) -> dict[str, Any]:
  """Plays the games under each planner.

  Args:
    run: its `traces/` gets a trace of each game, in place of older ones; it
      also gets pictures and, where they are asked for, clips.
    plan: of `prepare`.
    config: gives `evaluate` and the seed.

  Returns:
    JSON-ready.

  Raises:
    OSError: a trace cannot be written.
    vector.Died: an emulator process is gone.
  """
  setting, draws = plan.setting, config.evaluate.bootstrap
  run.log(f"Playing {setting.rom.describe()}")
  for note in plan.notes:
    run.log(f"Note: {note}")
  traces = run.path / TRACES
  shutil.rmtree(traces, ignore_errors=True)  # of a measurement cut short
  traces.mkdir()
  agent = inputs.load_player(plan.directory, plan.step)
  critic = inputs.load_critic(plan.directory, plan.step)
  # The policy's chance in a game is the same under all planners.
  chance = [config.seed + number for number in range(len(setting.seeds))]
  played: dict[str, play_episodes.Played] = {}
  found: dict[str, Any] = {}
  for name, choice in plan.choices.items():
    drivers = _drivers(name, plan, traces, run)
    dual = dual_agent.DualAgent(
      agent, drivers, chance, config.evaluate.greedy, critic
    )
    tally = _play(name, dual, drivers, plan)
    played[name] = tally.played()
    summaries = [driver.summary() for driver in drivers]
    found[name] = agent_measures.of_planner(
      tally, summaries, played[name], draws
    )
    found[name]["model"] = choice.service.model if choice.service else ""
  others = [name for name in plan.choices if name != NONE]
  return {
    "rom": {"name": setting.rom.name, "sha1": setting.rom.sha1},
    "games": len(setting.seeds),
    "env_steps": setting.length,
    "planners": found,
    "gains": {
      name: agent_measures.gains(played[name], played[NONE], draws)
      for name in others
    },
    **play_pictures.make(run, setting, played, others, config.evaluate.videos),
  }


def _drivers(
  name: str, plan: Plan, traces: pathlib.Path, run: run_directory.Run
) -> list[driver_lib.Driver]:
  """One for each game; none without a planner."""
  choice, rom = plan.choices[name], plan.setting.rom
  if not choice.gives_goals:
    return []
  return [
    planners.make(
      *(choice, plan.knowledge, rom.map_names),
      *(traces / f"{name}_{number:03d}.jsonl", {"seed": seed}),
      _log(run, f"{name}, game {number}"),
    )
    for number, seed in enumerate(plan.setting.seeds)
  ]


def _log(run: run_directory.Run, who: str) -> Callable[[str], None]:
  return lambda line: run.log(f"{who}: {line}")


def _play(
  name: str,
  dual: dual_agent.DualAgent,
  drivers: list[driver_lib.Driver],
  plan: Plan,
) -> agent_tally.Tally:
  setting = plan.setting
  count, length = len(setting.seeds), setting.length
  tally = agent_tally.Tally(count, length, plan.knowledge.milestones)
  try:
    with progress.Progress(
      f"agent: {name}", length, "steps of all games"
    ) as bar:
      bar.compiling(about_s=10)
      for step in dual_agent.play(dual, setting):
        tally.add(step)
        bar.update(step.t + 1, playing=int(step.playing.sum()))
      bar.update(length)
  finally:
    for driver in drivers:
      driver.close()
  return tally
