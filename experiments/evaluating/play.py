"""Players measured in the emulator (`evaluate --what=play`)."""

from typing import Any

from experiments.evaluating import asked as asked_lib
from experiments.reports import play_progress
from experiments.reports import summary
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib


def evaluate(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """Lets players play the same games from the same starts."""
  from data_tools.game import emulator
  from data_tools.game import roms
  from experiments.playing import play_episodes

  rom = roms.resolve(asked.rom)
  if not rom.has_ram_fields:
    raise ValueError(f"play is measured in rewards: {rom.describe()}")
  players = asked.named_players()
  for directory in filter(None, players.values()):
    inputs.check_kind(directory, agent=True)
  notes = [
    inputs.check_rom(directory, rom, asked.other_rom)
    for directory in players.values()
    if directory
  ]
  save_state = emulator.read_save_state(asked.save_state, rom)
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_play",
    {
      "seed": config.seed,
      "evaluate": asked_lib.measured(config),
      "episode_length": config.play_length,
      "jitter_frames": config.collect.jitter_frames,
      "rom": rom.sha1,
      "save_state": emulator.state_sha1(save_state),
      "players": {
        name: inputs.fingerprint(directory, asked.step(directory))
        if directory
        else None
        for name, directory in players.items()
      },
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      run.log(f"Playing {rom.describe()}")
      for note in filter(None, notes):
        run.log(f"Note: {note}")
      with play_episodes.dying_is_told():
        result = _play(config, asked, rom, players, save_state, run)
      run.finish(result)
    asked_lib.show(
      run,
      [summary.play_table(run.result), *play_progress.tables(run.result)],
      verdicts=play_progress.verdicts(run.result),
    )


def _play(
  config: config_lib.Config,
  asked: asked_lib.Asked,
  rom: Any,
  players: dict[str, str],
  save_state: bytes | None,
  run: run_directory.Run,
) -> dict[str, Any]:
  from data_tools.players import policies
  from experiments.playing import own_returns
  from experiments.playing import play_episodes
  from experiments.reports import play_pictures

  setting = play_episodes.Setting(
    rom=rom,
    seeds=play_episodes.make_seeds(config.seed, config.evaluate.episodes),
    length=config.play_length,
    jitter_frames=config.collect.jitter_frames,
    save_state=save_state,
    workers=config.collect.workers,
  )
  played, assists, trained = {}, set(), {}
  for name, directory in players.items():
    unit = "steps of all episodes" if directory else "episodes"
    total = setting.length if directory else len(setting.seeds)
    with progress.Progress(f"playing {name}", total, unit) as bar:
      told = lambda done, _, bar=bar: bar.update(done)
      if directory:
        bar.compiling(about_s=10)
        agent = inputs.load_player(directory, asked.step(directory))
        played[name] = play_episodes.play_learned(
          agent, setting, config.seed, config.evaluate.greedy, told
        )
        if run_directory.read_stage(directory) == "policy":
          trained[name] = agent.config.policy
        if agent.config.world_model.ram == "given":
          assists.add("learned policies read the RAM tokens")
      else:
        played[name] = play_episodes.play_scripted(name, setting, told)
        if name.startswith(policies.SCRIPTED):
          assists.add("scripted players read memory and map tables")
  learned = [name for name, directory in players.items() if directory]
  weights = specs.REWARD_WEIGHTS["published"]
  return {
    "rom": {
      "name": rom.name,
      "sha1": rom.sha1,
      "kind": rom.kind,
      "maps": len(rom.map_names),
    },
    "episodes": len(setting.seeds),
    "episode_length": setting.length,
    "seeds": list(setting.seeds),
    "greedy": config.evaluate.greedy,
    "assists": sorted(assists),
    **play_episodes.report(played, weights, config.evaluate.bootstrap),
    "own": own_returns.report(played, trained, config.evaluate.bootstrap),
    **play_pictures.make(
      *(run, setting, played, learned, config.evaluate.videos),
      memory=lambda name: inputs.load_map_memory(
        players[name], asked.step(players[name])
      ),
    ),
    **asked.warnings(players),
  }
