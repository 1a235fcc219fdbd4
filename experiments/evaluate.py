r"""Measures a world model's dreams, or policies playing in the emulator.

    python -m experiments.evaluate --what=world_model --world_model=DIR \
      --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=play --player=random \
      --player=clone=DIR --player=policy=DIR --workdir=DIR
    python -m experiments.evaluate --what=goals --player=policy=DIR \
      --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=dreams --player=clone=DIR \
      --player=policy=DIR --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=agent --player=policy=DIR \
      --data_dir=DIR --workdir=DIR [--planner_url=URL]
    python -m experiments.evaluate --what=long_dream --player=policy=DIR \
      --data_dir=DIR --workdir=DIR
    python -m experiments.evaluate --what=blind --world_model=DIR \
      --data_dir=DIR --workdir=DIR    (or --player=policy=DIR: its world model)
    python -m experiments.evaluate --what=tokens --preset=vale \
      --data_dir=DIR --workdir=DIR    (or --world_model=DIR: its tokens)

Writes `result.json` and the tables as `table.txt`; for a world model also the
pictures `dreams.png`, `modes.png` (strips by what the game is doing) and
`drift.png`, and of a model with an atlas `atlas.png` (what it believes beside
what is true) and `atlas_errors.png` (where in it dreams are wrong). All numbers
stand beside their reference lines. Of a world model
`--set=evaluate.detail=quick` leaves out the calm windows, the long carried
states and what serves play. Maps that its training left out are looked at in
both. Of play there are `visits.png` (where players stood, on the maps of a
practice cartridge) and the best and the worst episode of learned players as
`best_NAME.mp4` and `worst_NAME.mp4`; `--set=evaluate.videos=off` leaves these
out, `policy` films the player of that name alone.
Of a world model held-out episodes are those of the generation that it
began with; `--all_data` takes those of all that lies there, so that models of
parts of the same data (`train.max_files`) are measured on the same episodes.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

from experiments.reports import dream_tables
from experiments.reports import play_progress
from experiments.reports import summary
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import progress
from experiments.runs import run_directory
from experiments.runs import untrained
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config

WHAT = (
  *("world_model", "play", "goals", "dreams", "agent", "long_dream"),
  *("blind", "tokens"),
)

cli.define_run_flags()
_WHAT = cli.choice("what", None, WHAT, "What to measure.")
_DATA_DIR = cli.string("data_dir", None, "Recorded experience (all but play).")
_WORLD_MODEL = cli.string("world_model", None, "Run directory of train_rssm.")
_RAM = cli.choice(
  "ram",
  None,
  world_model_config.RAM_MODES,
  "Tokens of observed frames: given, inferred from the frames, or inferred "
  "with the place believed (world_model; default: as trained).",
)
_ALL_DATA = cli.boolean(
  "all_data",
  False,
  "Takes the held-out episodes of all that --data_dir holds now (world_model); "
  "refused where the model was trained on one of them.",
)
_PLAYER = cli.repeated(
  "player",
  "A scripted policy such as random or demonstrator, or NAME=DIR with the run "
  "directory of a clone or a policy (play; dreams; goals, where it is one that "
  "reads them; repeatable).",
)
_CHECKPOINT_STEP = cli.define_checkpoint_step("what is measured")
_ROM = cli.define_rom()
_OTHER_ROM = cli.define_other_rom()
_SAVE_STATE = cli.string("save_state", None, "Start (play, agent).")
_URL = cli.string(
  "planner_url", "", "Also asks a language model there (agent); see run_agent."
)
_MODEL = cli.string("planner_model", "", "Its name (agent).")
_KNOWLEDGE = cli.string(
  "knowledge", "", "What planners know, instead of --data_dir (agent)."
)


def main() -> None:
  """Flags to parts."""
  config = cli.make_config()
  measure = {
    "world_model": _evaluate_world_model,
    "play": _evaluate_play,
    "goals": _evaluate_goals,
    "dreams": _evaluate_dreams,
    "agent": _evaluate_agent,
    "long_dream": _evaluate_long_dream,
    "blind": _evaluate_blind,
    "tokens": _evaluate_tokens,
  }
  measure[cli.required("what")](config)


def _evaluate_world_model(config: config_lib.Config) -> None:
  directory = cli.required("world_model")
  config = inputs.with_ram(
    inputs.with_world_model(config, directory), _RAM.value
  )
  config = inputs.with_left_out(config, directory)
  step = _step(directory)
  # The generation that it was trained on: its held-out episodes are unseen.
  data_dir = cli.required("data_dir")
  generation = inputs.open_generation(data_dir, pathlib.Path(directory))
  trained = _training_episodes(
    directory, generation, step, config.train.left_out_maps
  )
  measured = _all_data(generation, trained) if _ALL_DATA.value else generation
  inputs.check_fields(config.world_model, measured)
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_world_model",
    {
      "evaluate": _measured(config),
      "generation": measured.digest,
      "ram": config.world_model.ram,
      "world_model": inputs.fingerprint(directory, step),
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      params = inputs.load_world_model(directory, step)
      found = _measure_dreams(config, measured, trained, params, run)
      # The best is best on the very episodes that are reported on.
      chosen = _CHECKPOINT_STEP.value == "best"
      warnings = _warnings({"": directory})
      run.finish({**found, "chosen_on_held_out": chosen, **warnings})
    result, verdicts = run.result, []
    if config.evaluate.detail == "full":  # else the quickstart's panel has them
      verdicts += summary.dream_verdicts(result)
      verdicts += summary.latent_verdicts(result)
    _show(
      run,
      [summary.dream_table(result)],
      dream_tables.details(result),
      verdicts,
    )


def _measured(config: config_lib.Config) -> dict[str, Any]:
  """What decides a measurement; what is filmed of it does not."""
  decides = config_lib.to_dict(config.evaluate)
  del decides["videos"]
  return decides


def _measure_dreams(
  config: config_lib.Config,
  generation: Any,
  trained: Any,
  params: Any,
  run: run_directory.Run,
) -> dict[str, Any]:
  from experiments.reports import dream_pictures
  from experiments.reports import world_model_report

  pictures = 3 if config.world_model.has_atlas else 2
  parts = world_model_report.parts(config.evaluate.detail) + pictures
  with progress.Progress("evaluation", parts, "parts") as bar:
    done = 0

    def told(part: str) -> None:
      nonlocal done
      if done:
        bar.update(done)
      bar.phase(part, about_s=15)
      done += 1

    evaluator = world_model_report.Evaluator(config, generation, trained)
    result = evaluator.report(
      params, _same_rom(evaluator.headers, generation.data_dir, run), told
    )
    told("drawing the contact sheet")
    count = config.evaluate.windows
    evaluator.contact_sheet(params, run.path / "dreams.png", count)
    told("drawing strips by mode")
    evaluator.strips_by_mode(params, run.path / "modes.png")
    dream_pictures.save_drift(result, run.path / "drift.png")
    if config.world_model.has_atlas:
      told("drawing the atlas")
      result["atlas"] = evaluator.atlas(params, run.path)
    bar.update(parts)
  return result


def _training_episodes(
  directory: str,
  generation: Any,
  step: int | None,
  leave_out_maps: Sequence[int] = (),
):
  """The episodes that a checkpoint has seen, those adopted on the way too."""
  from data_tools.records import generations
  from data_tools.records import loader
  from experiments.runs import adoptions

  shared: Any = {"cache_bytes": 0, "leave_out_maps": leave_out_maps}
  index = loader.EpisodeIndex(generation, "train", **shared)
  at = inputs.fingerprint(directory, step)["step"]
  for adoption in adoptions.read(directory).before(at):
    path = generation.path.with_name(f"{adoption.generation}.json")
    index = loader.EpisodeIndex(
      generations.load(path), "train", earlier=index.sides, **shared
    )
  return index


def _all_data(generation: Any, trained: Any) -> Any:
  """The generation of all that lies where another one does.

  Raises:
    ValueError: an episode that it holds out is one of `trained`.
  """
  from data_tools.records import generations
  from data_tools.records import loader

  whole = generations.freeze(generation.data_dir)
  known = {header.episode_id for header in trained.headers}
  held_out = loader.EpisodeIndex(whole, "val", cache_bytes=0).headers
  seen = sorted(known & {header.episode_id for header in held_out})
  if seen:
    raise ValueError(
      f"--all_data: of {len(held_out)} episodes that are held out of all data "
      f"the model was trained on {len(seen)}, such as {seen[0]}, expected none"
    )
  return whole


def _same_rom(
  headers: Any, data_dir: pathlib.Path, run: run_directory.Run
) -> Any:
  """The ROM of the recording, None where its episodes cannot be played."""
  from data_tools.game import roms
  from data_tools.records import replay

  rom = roms.resolve(_ROM.value)
  try:
    for header in headers:
      replay.check_header(rom, header, replay.find_start(header, data_dir))
  except ValueError as error:
    run.log(f"No line of the emulator with other luck: {error}")
    return None
  return rom


def _evaluate_play(config: config_lib.Config) -> None:
  from data_tools.game import emulator
  from data_tools.game import roms
  from experiments.playing import play_episodes

  rom = roms.resolve(_ROM.value)
  if not rom.has_ram_fields:
    raise ValueError(f"play is measured in rewards: {rom.describe()}")
  players = _parse_players(_PLAYER.value or ())
  for directory in filter(None, players.values()):
    inputs.check_kind(directory, agent=True)
  notes = [
    inputs.check_rom(directory, rom, _OTHER_ROM.value)
    for directory in players.values()
    if directory
  ]
  save_state = emulator.read_save_state(_SAVE_STATE.value, rom)
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_play",
    {
      "seed": config.seed,
      "evaluate": _measured(config),
      "episode_length": config.play_length,
      "jitter_frames": config.collect.jitter_frames,
      "rom": rom.sha1,
      "save_state": emulator.state_sha1(save_state),
      "players": {
        name: inputs.fingerprint(directory, _step(directory))
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
        result = _play(config, rom, players, save_state, run)
      run.finish(result)
    _show(
      run,
      [summary.play_table(run.result), *play_progress.tables(run.result)],
      verdicts=play_progress.verdicts(run.result),
    )


def _play(
  config: config_lib.Config,
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
        agent = inputs.load_player(directory, _step(directory))
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
        players[name], _step(players[name])
      ),
    ),
    **_warnings(players),
  }


def _warnings(directories: Mapping[str, str]) -> dict[str, list[str]]:
  """`warnings` of what has hardly learned; nothing where all has."""
  found = [
    untrained.warning(directory, _step(directory))
    for directory in directories.values()
    if directory
  ]
  found = [text for text in found if text]
  return {"warnings": found} if found else {}


def _evaluate_goals(config: config_lib.Config) -> None:
  from experiments.reports import goal_evaluation
  from experiments.reports import goal_tables

  decides = {"goals": config_lib.to_dict(config.goals)}
  _enter_rows(config, "goals", goal_evaluation, goal_tables, decides)


def _evaluate_dreams(config: config_lib.Config) -> None:
  from experiments.reports import honesty_evaluation
  from experiments.reports import honesty_tables

  _enter_rows(config, "dreams", honesty_evaluation, honesty_tables, {})


def _evaluate_long_dream(config: config_lib.Config) -> None:
  from experiments.reports import long_dream_evaluation
  from experiments.reports import long_dream_tables

  part = long_dream_evaluation.Part(cli.workdir())
  _enter_rows(config, "long_dream", part, long_dream_tables, {})


def _evaluate_tokens(config: config_lib.Config) -> None:
  from experiments.reports import decided_tokens

  if _WORLD_MODEL.value:
    config = inputs.with_world_model(config, _WORLD_MODEL.value)
  cfg = config.world_model
  decided_tokens.check(cfg)
  generation = inputs.open_generation(
    cli.required("data_dir"), pathlib.Path(cli.workdir())
  )
  inputs.check_fields(cfg, generation)
  most_rows = config.evaluate.token_rows
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_tokens",
    {
      "generation": generation.digest,
      "rows": most_rows,
      "tokens": cfg.tokens,
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      run.finish(decided_tokens.measure(cfg, generation, most_rows))
    _show(run, decided_tokens.tables(run.result))


def _evaluate_blind(config: config_lib.Config) -> None:
  from data_tools.game import roms
  from experiments.playing import play_episodes
  from experiments.reports import blind_evaluation
  from experiments.reports import blind_tables

  directory, agent = _whose_dreams()
  config = inputs.with_world_model(config, directory, agent)
  rom = roms.resolve(_ROM.value)
  inputs.check_rom(directory, rom, _OTHER_ROM.value)
  step = _step(directory)
  generation = inputs.open_generation(
    cli.required("data_dir"), pathlib.Path(directory)
  )
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_blind",
    {
      "seed": config.seed,
      "evaluate": _measured(config),
      "generation": generation.digest,
      "rom": rom.sha1,
      "world_model": inputs.fingerprint(directory, step),
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      item = "world_model" if agent else "params"
      params = inputs.load_item(directory, item, step)
      parts = blind_evaluation.PARTS
      with (
        progress.Progress("real or dreamt", parts, "parts") as bar,
        play_episodes.dying_is_told(),
      ):
        done = iter(range(1, parts + 1))

        def told(part: str) -> None:
          bar.update(next(done))
          bar.phase(part, about_s=60)

        result = blind_evaluation.measure(
          config, params, generation, rom, run.path, told
        )
      run.finish(result)
    result = run.result
    _show(
      run, blind_tables.tables(result), verdicts=blind_tables.verdicts(result)
    )


def _whose_dreams() -> tuple[str, bool]:
  """The run directory whose world model dreams, and whether of an agent.

  Raises:
    ValueError: none is given, or more than one.
  """
  players = _parse_players(_PLAYER.value) if _PLAYER.value else {}
  if not players:
    return cli.required("world_model"), False
  if _WORLD_MODEL.value or len(players) > 1 or not all(players.values()):
    raise ValueError(
      f"--player={','.join(_PLAYER.value)}: expected one NAME=DIR, or "
      "--world_model=DIR"
    )
  return next(iter(players.values())), True


def _enter_rows(
  config: config_lib.Config,
  what: str,
  part: Any,
  shown: Any,
  decides: dict[str, Any],
) -> None:
  """Measures policies in games entered at recorded rows of held-out episodes.

  Args:
    config: of the measurement.
    what: its name.
    part: a module or an object with `check(directory)`, `measure(config, rom,
      generation, agents)`, and `dreams(config)`, whether agents need their
      whole world model.
    shown: a module with `tables(result)` and `verdicts(result)`.
    decides: of the configuration, what decides it beside `evaluate`.
  """
  from data_tools.game import roms
  from experiments.playing import play_episodes

  rom = roms.resolve(_ROM.value)
  players = _parse_players(_PLAYER.value or ())
  for name, directory in players.items():
    if not directory:
      raise ValueError(
        f"--player={name}: a scripted player has no {what}, expected NAME=DIR"
      )
    inputs.check_kind(directory, agent=True)
    inputs.check_rom(directory, rom, _OTHER_ROM.value)
    part.check(directory)
  first = next(iter(players.values()))
  digests = {
    directory: run_directory.read_config(directory).get("generation")
    for directory in players.values()
  }
  if len(set(digests.values())) > 1:
    raise ValueError(
      "--player: of different generations, so that what one has never seen "
      f"another may have learned from: {digests}; expected one"
    )
  data_dir = cli.required("data_dir")
  generation = inputs.open_generation(data_dir, pathlib.Path(first))
  run = run_directory.open_run(
    cli.workdir(),
    f"evaluate_{what}",
    {
      "seed": config.seed,
      "evaluate": _measured(config),
      "jitter_frames": config.collect.jitter_frames,
      **decides,
      "generation": generation.digest,
      "rom": rom.sha1,
      "players": {
        name: inputs.fingerprint(directory, _step(directory))
        for name, directory in players.items()
      },
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      load = inputs.load_agent if part.dreams(config) else inputs.load_player
      agents = {n: load(d, _step(d)) for n, d in players.items()}
      with play_episodes.dying_is_told():
        result = part.measure(config, rom, generation, agents)
      run.finish(result)
    tables, verdicts = shown.tables(run.result), shown.verdicts(run.result)
    _show(run, tables, verdicts=verdicts)


def _evaluate_agent(config: config_lib.Config) -> None:
  from experiments.playing import play_episodes
  from experiments.reports import agent_evaluation
  from experiments.reports import agent_tables

  players = _parse_players(_PLAYER.value or ())
  for name, directory in players.items():
    if not directory:
      raise ValueError(
        f"--player={name}: expected NAME=DIR, that planners give goals to"
      )
  steps = {name: (d, _step(d)) for name, d in players.items()}
  plan = agent_evaluation.prepare(
    *(config, steps, _ROM.value, _OTHER_ROM.value),
    *(_SAVE_STATE.value, _KNOWLEDGE.value or "", _DATA_DIR.value or ""),
    *(_URL.value or "", _MODEL.value or ""),
  )
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_agent",
    {"evaluate": _measured(config), **plan.decides},
    graceful=False,
  )
  with run:
    if not run.finished:
      with play_episodes.dying_is_told():
        run.finish(agent_evaluation.measure(run, plan, config))
    tables, verdicts = (
      agent_tables.tables(run.result),
      agent_tables.verdicts(run.result),
    )
    _show(run, tables, agent_tables.details(run.result), verdicts)


def _step(directory: str) -> int | None:
  return inputs.choose_step(directory, _CHECKPOINT_STEP.value)


def _parse_players(items: Sequence[str]) -> dict[str, str]:
  """Name -> run directory, empty for scripted policies.

  Raises:
    ValueError: none, the same name twice, or a name of neither kind.
  """
  from data_tools.players import policies

  players: dict[str, str] = {}
  for item in items:
    name, _, directory = item.partition("=")
    if name.partition(":")[0] in policies.NAMES:
      name, directory = item, ""
    elif not directory:
      raise ValueError(
        f"--player={item}: expected NAME=DIR or one of {list(policies.NAMES)}"
      )
    if name in players:
      raise ValueError(f"--player={item}: {name!r} is given twice")
    players[name] = directory
  if not players:
    raise ValueError("--player is required, such as --player=random")
  return players


def _show(
  run: run_directory.Run,
  tables: Sequence[text_tables.Table],
  details: Sequence[text_tables.Table] = (),
  verdicts: Sequence[text_tables.Verdict] = (),
) -> None:
  """Prints tables and verdicts; details go to `table.txt` alone."""
  closing = text_tables.plain_verdicts(verdicts)
  path = run.path / "table.txt"
  whole = [*text_tables.plain_tables([*tables, *details]), *closing]
  path.write_text("\n".join(whole) + "\n")
  run.log("\n".join([*text_tables.plain_tables(tables), *closing]))
  if details:
    names = ", ".join(table.title.lower() for table in details)
    run.log("\n".join(text_tables.wrap([f"In {path} also: {names}."])))


if __name__ == "__main__":
  cli.run_main(main)
