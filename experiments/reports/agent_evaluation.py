"""`evaluate --what=agent`: what planners gain over a policy without one.

Every planner gets the same policies, the same seeds and starts: differences are
paired, those between policies as well. Games are played side by side, each with
a driver of its own, and of their rows only numbers are kept.
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
from experiments.reports import agent_days
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

  players: Mapping[str, tuple[str, int | None]]  # run directory, checkpoint
  setting: play_episodes.Setting  # of the games, the same for all
  choices: Mapping[str, planners.Choice]  # by name, one of them `NONE`
  knowledge: knowledge_lib.Knowledge
  notes: tuple[str, ...]

  @property
  def decides(self) -> dict[str, Any]:
    """For the run directory; holds no key."""
    from data_tools.game import emulator

    policies = {
      name: inputs.fingerprint(directory, step)
      for name, (directory, step) in self.players.items()
    }
    (first, *others) = policies.values()
    return {
      "policy": first,
      **({"policies": policies} if others else {}),
      "rom": self.setting.rom.sha1,
      "save_state": emulator.state_sha1(self.setting.save_state),
      "seeds": list(self.setting.seeds),
      "episode_length": self.setting.length,
      "jitter_frames": self.setting.jitter_frames,
      "knowledge_sha256": self.knowledge.sha256,
      "planners": {
        _line(self, player, name): choice.to_json()
        for player, name, choice in self.lines()
      },
    }

  def lines(self) -> list[tuple[str, str, planners.Choice]]:
    """Policy, planner, and that planner as it suits the policy."""
    return [
      (player, name, planners.suited(choice, directory))
      for player, (directory, _) in self.players.items()
      for name, choice in self.choices.items()
    ]


def prepare(
  config: config_lib.Config,
  players: Mapping[str, tuple[str, int | None]],
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
  notes = []
  for directory, _ in players.values():
    inputs.check_kind(directory, agent=True)
    notes.append(inputs.check_rom(directory, rom, other_rom))
    planners.check_reads_goals(directory)
  knowledge, _ = planners.read_knowledge(knowledge_path, data_dir, rom.sha1)
  if not knowledge.maps:
    raise ValueError(
      "--data_dir: planners that know nothing are none to measure, expected "
      "records to learn from, or --knowledge"
    )
  names = (NONE, "offline") if config.evaluate.alone else ("offline",)
  choices = {n: planners.choose(n, "", "") for n in names}
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
  notes = list(dict.fromkeys(note for note in notes if note))
  return Plan(players, setting, choices, knowledge, tuple(notes))


def measure(
  run: run_directory.Run, plan: Plan, config: config_lib.Config
) -> dict[str, Any]:
  """Plays the games with each policy under each planner.

  Args:
    run: its `traces/` gets a trace of each game, in place of older ones; it
      also gets pictures and, where they are asked for, clips.
    plan: of `prepare`.
    config: gives `evaluate` and the seed.

  Returns:
    JSON-ready. With several policies a line is called `POLICY, PLANNER`; then
    `over_first` has what each gained over the first one under its planner.

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
  # A policy's chance in a game is the same under all planners.
  chance = [config.seed + number for number in range(len(setting.seeds))]
  played: dict[str, play_episodes.Played] = {}
  found: dict[str, Any] = {}
  for player, (directory, step) in plan.players.items():
    agent = inputs.load_player(directory, step)
    critic = inputs.load_critic(directory, step)
    mine = [line for line in plan.lines() if line[0] == player]
    for _, name, choice in mine:
      line = _line(plan, player, name)
      drivers = _drivers(line, choice, plan, traces, run)
      dual = dual_agent.DualAgent(
        agent, drivers, chance, config.evaluate.greedy, critic
      )
      tally = _play(line, dual, drivers, plan)
      played[line] = tally.played()
      found[line] = agent_measures.of_planner(
        tally, [driver.summary() for driver in drivers], played[line], draws
      )
      found[line]["model"] = choice.service.model if choice.service else ""
  lines = {
    (player, name): _line(plan, player, name)
    for player in plan.players
    for name in plan.choices
  }
  first = next(iter(plan.players))
  led = [line for (_, name), line in lines.items() if name != NONE]
  return {
    "rom": {"name": setting.rom.name, "sha1": setting.rom.sha1},
    "games": len(setting.seeds),
    "env_steps": setting.length,
    "planners": found,
    "gains": {
      line: agent_measures.gains(
        played[line], played[lines[player, NONE]], draws
      )
      for (player, name), line in lines.items()
      if name != NONE and NONE in plan.choices
    },
    "over_first": {
      line: agent_measures.gains(
        played[line], played[lines[first, name]], draws
      )
      for (player, name), line in lines.items()
      if player != first
    },
    "days": _draw_days(run, plan, played, led),
    **play_pictures.make(run, setting, played, led, config.evaluate.videos),
  }


def _line(plan: Plan, player: str, planner: str) -> str:
  """What a policy under a planner is called."""
  return planner if len(plan.players) == 1 else f"{player}, {planner}"


def _drivers(
  line: str,
  choice: planners.Choice,
  plan: Plan,
  traces: pathlib.Path,
  run: run_directory.Run,
) -> list[driver_lib.Driver]:
  """One for each game; none without a planner."""
  if not choice.gives_goals:
    return []
  return [
    planners.make(
      *(choice, plan.knowledge, plan.setting.rom.map_names),
      *(path, {"seed": seed}, _log(run, f"{line}, game {number}")),
    )
    for number, (path, seed) in enumerate(
      zip(_trace_paths(traces, line, plan), plan.setting.seeds, strict=True)
    )
  ]


def _trace_paths(
  traces: pathlib.Path, line: str, plan: Plan
) -> list[pathlib.Path]:
  """The trace of each game of a line."""
  count = len(plan.setting.seeds)
  return [traces / f"{_file(line)}_{n:03d}.jsonl" for n in range(count)]


def _file(line: str) -> str:
  return line.replace(", ", "_")


def _draw_days(
  run: run_directory.Run,
  plan: Plan,
  played: Mapping[str, play_episodes.Played],
  led: list[str],
) -> dict[str, str]:
  """A page of all games for each line that a planner led, by line."""
  found = {}
  for line in led:
    name = f"games_{_file(line)}.html"
    paths = _trace_paths(run.path / TRACES, line, plan)
    try:
      agent_days.write(
        run.path / name, line, played[line], paths, plan.setting.rom
      )
    except (OSError, ValueError) as error:
      run.log(f"No page of the games of {line}: {error}")
      continue
    found[line] = name
  return found


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
