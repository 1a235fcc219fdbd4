r"""Plays a game with both systems: a planner's goals, a policy to pursue them.

    python -m experiments.run_agent --policy=DIR --data_dir=DIR --workdir=DIR
    python -m experiments.run_agent --policy=DIR --knowledge=FILE \
      --planner=openai --most_usd=0.05 --workdir=DIR
    python -m experiments.run_agent --policy=DIR --workdir=OTHER \
      --planner=replay=DIR/trace.jsonl

Planners are offline (the default: it follows what records taught), openai,
gemini, anthropic, url (any server that speaks as OpenAI's, at --planner_url,
such as experiments.serve_planner), none, and replay=FILE, which plays the game
of a trace again, bit for bit. Keys come from the environment. A call never
holds up a decision.

DIR gets `trace.jsonl` (each request, reply, latency, tokens, cost), the game as
a record in `shards/` (DIR is a --data_dir for whoever trains), `game.html` (the
timeline of goals, events and calls), `game.mp4`, and `result.json`. Ctrl-C and
SIGTERM end the game early with all of that; after kill -9 the trace is whole up
to its last line, and plays the same game again. A directory holds one game: it
is not continued.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import secrets
import time
from typing import Any

from experiments.playing import play_episodes
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shipped

STAGE = "agent_game"
_TRACE = "trace.jsonl"
_MOST_STEPS = 10_000_000

cli.string("workdir", None, "Directory of this game, new.")
_SEED = cli.integer("seed", 0, "Of the start and of System 1's chance.")
_POLICY = cli.string(
  "policy", None, "Run directory of a policy that reads goals."
)
_CHECKPOINT_STEP = cli.define_checkpoint_step("the policy")
_PLANNER = cli.string(
  "planner",
  None,
  "offline, openai, gemini, anthropic, url, replay=FILE or none; default: "
  "offline, or url with --planner_url.",
)
_URL = cli.string(
  "planner_url", "", "Server that speaks as OpenAI's; see serve_planner."
)
_MODEL = cli.string("planner_model", "", "Model; default: the service's.")
_KNOWLEDGE = cli.string(
  "knowledge",
  "",
  "What a planner knows: a planner_knowledge.json; default: the policy's own, "
  "where one came with it.",
)
_DATA_DIR = cli.string("data_dir", "", "Records to learn that from, instead.")
_WALKTHROUGH = cli.boolean(
  "walkthrough", False, "Tells language models what demonstrations did next."
)
_ROM = cli.define_rom()
_OTHER_ROM = cli.define_other_rom()
_SAVE_STATE = cli.string("save_state", None, "Start; default: power-on.")
_STEPS = cli.integer("steps", 2000, "Env steps at most; 2.5 are a second.")
_GREEDY = cli.boolean("greedy", False, "Take the most likely action.")
_SPEED = cli.choice(
  "speed", "max", ("max", "realtime"), "As fast as it goes, or as the game."
)
_VIEW = cli.choice(
  "view", "none", ("none", "terminal", "page"), "Where to watch it."
)
_PORT = cli.integer("port", 0, "Of --view=page; 0 for any that is free.")
_DEADLINE = cli.integer("deadline_s", 20, "Seconds that a request may take.")
_CALLS = cli.integer("calls_a_minute", 10, "Calls of a service at most.")
_TOKENS = cli.integer("most_tokens", None, "Tokens of the game at most.")
_USD = cli.string("most_usd", "", "USD that the game may cost.")
_PRICE_IN = cli.string("price_in", "", "USD of a million tokens sent.")
_PRICE_OUT = cli.string("price_out", "", "USD of a million tokens received.")
_STUCK = cli.integer(
  "stuck_env_steps", 500, "A planner is asked after so many without progress."
)


def main() -> int:
  """Plays one game and writes what there is of it."""
  began_s = time.monotonic()
  directory = cli.required("policy")
  workdir = cli.workdir()
  _check_new(workdir)
  choice = _choice()
  setting, notes = _setting(directory)
  step = inputs.choose_step(directory, _CHECKPOINT_STEP.value)
  from data_tools.game import emulator
  from data_tools.records import episodes
  from experiments.playing import planner_knowledge
  from experiments.playing import planners
  from experiments.reports import agent_game
  from experiments.serving import agent_view

  rom, choice = setting.rom, planners.suited(choice, directory)
  about = {
    "policy": inputs.fingerprint(directory, step),
    "rom_sha1": rom.sha1,
    "start_state_sha1": emulator.state_sha1(setting.save_state),
    "seed": _SEED.value,
    "jitter_frames": setting.jitter_frames,
    "greedy": bool(_GREEDY.value),
  }
  if choice.trace is not None:
    planners.check_same_game(choice.trace, about)
    notes += [choice.trace.remark] if choice.trace.remark else []
  known, data_dir = _KNOWLEDGE.value or "", _DATA_DIR.value or ""
  beside = shipped.find(directory) / planner_knowledge.FILE
  if not known and not data_dir and beside.exists():  # came with the policy
    known = str(beside)
  knowledge, learned = planners.read_knowledge(known, data_dir, rom.sha1)
  if not knowledge.maps and choice.name not in ("none", "replay"):
    notes.append(
      "the planner knows nothing of this game, --data_dir or --knowledge "
      "would teach it"
    )
  player = _player(about, choice, knowledge)
  collection = _collection(setting, about["seed"], player)
  game = agent_game.Game(
    choice=choice,
    knowledge=knowledge,
    setting=dataclasses.replace(
      setting, seeds=(episodes.plan(collection, 0).seed,)
    ),
    about={**about, "player": player},
    collection=collection,
    realtime=_SPEED.value == "realtime",
    began_s=began_s,
  )
  view = agent_view.make(_VIEW.value or "none", _PORT.value or 0)
  decides = {**about, **game.to_json(), "steps": setting.length}
  with (
    contextlib.closing(view),
    run_directory.open_run(workdir, STAGE, decides) as run,
  ):
    run.log(f"agent: playing {rom.describe()}, planner {choice.name}")
    for note in notes:
      run.log(f"Note: {note}")
    if learned is not None:
      planner_knowledge.keep(learned, run.path / planner_knowledge.FILE)
    if isinstance(view, agent_view.Page):
      run.log(f"agent: watch it at {view.url}")
    agent = inputs.load_player(directory, step)
    critic = inputs.load_critic(directory, step)
    quiet = _VIEW.value == "terminal"
    return agent_game.play(run, agent, critic, game, view.show, quiet)


def _check_new(workdir: pathlib.Path) -> None:
  """Refuses a directory that holds a game, and says what there is of it."""
  trace = workdir / _TRACE
  if (workdir / "result.json").exists():
    result = run_directory.read_result(workdir)
    raise ValueError(
      f"{workdir}: holds a game of {result.get('env_steps')} env steps, ended "
      f"by {result.get('ended_by')}; expected another --workdir"
    )
  if not trace.exists() and not (workdir / "shards").exists():
    return
  calls = "no trace"
  if trace.exists():
    from pokedreamer_jax.planner import trace as trace_lib

    with contextlib.suppress(ValueError):
      found = trace_lib.read(trace)
      last = max([c["done_step"] for c in found.calls], default=0)
      calls = f"its trace has {len(found.calls)} answers up to env step {last}"
  raise ValueError(
    f"{workdir}: a game was broken off here: {calls}; expected another "
    f"--workdir, and --planner=replay={trace} plays it again"
  )


def _choice() -> Any:
  """The planner that flags ask for."""
  from experiments.playing import planners
  from pokedreamer_jax.planner import budget
  from pokedreamer_jax.planner import driver
  from pokedreamer_jax.planner import schema
  from pokedreamer_jax.planner import triggers

  prices = None
  if _PRICE_IN.value or _PRICE_OUT.value:
    prices = budget.Prices(
      _number("price_in", _PRICE_IN.value),
      _number("price_out", _PRICE_OUT.value),
    )
  return planners.choose(
    _PLANNER.value,
    _URL.value or "",
    _MODEL.value or "",
    limits=budget.Limits(
      calls_a_minute=_CALLS.value,
      tokens=_TOKENS.value,
      cost_usd=_number("most_usd", _USD.value) if _USD.value else None,
    ),
    prices=prices,
    config=driver.DriverConfig(
      deadline_s=float(_DEADLINE.value),
      switches=schema.Switches(walkthrough=bool(_WALKTHROUGH.value)),
      triggers=triggers.TriggerConfig(stuck_env_steps=_STUCK.value),
    ),
  )


def _number(name: str, text: str | None) -> float:
  try:
    value = float(text or "")
  except ValueError:
    value = -1.0
  if not 0 <= value < 1e6:
    raise ValueError(f"--{name}={text}: expected a number from 0")
  return value


def _setting(directory: str) -> tuple[play_episodes.Setting, list[str]]:
  """The game without its seed, and remarks, before anything is made."""
  from data_tools.game import emulator
  from data_tools.game import roms
  from experiments.playing import planners

  inputs.check_kind(directory, agent=True)
  config = inputs.load_config(directory)
  if _PLANNER.value != "none":
    planners.check_reads_goals(directory)
  rom = roms.resolve(_ROM.value)
  if not rom.has_ram_fields:
    raise ValueError(f"--rom: planners read the game's state: {rom.describe()}")
  note = inputs.check_rom(directory, rom, _OTHER_ROM.value)
  if not 0 <= _SEED.value < 1 << 32:
    raise ValueError(f"--seed={_SEED.value}: expected 0 to {(1 << 32) - 1}")
  if not 2 <= _STEPS.value <= _MOST_STEPS:
    raise ValueError(f"--steps={_STEPS.value}: expected 2 to {_MOST_STEPS}")
  setting = play_episodes.Setting(
    rom=rom,
    seeds=(),
    length=_STEPS.value,
    jitter_frames=config.collect.jitter_frames,
    save_state=emulator.read_save_state(_SAVE_STATE.value, rom),
    workers=1,
  )
  return setting, [note] if note else []


def _player(about: dict[str, Any], choice: Any, knowledge: Any) -> str:
  """Who plays, in a record: the same game has the same name, no other has."""
  if choice.trace is not None:
    return str(choice.trace.start["about"].get("player"))
  # What a language model says is not decided by anything here.
  chance = secrets.token_hex(8) if choice.service else ""
  decides = [about, choice.to_json(), knowledge.sha256, chance]
  text = json.dumps(decides, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()[:16]
  return f"policy:{digest}@{about['policy']['step']}"


def _collection(setting: play_episodes.Setting, seed: int, player: str) -> Any:
  """What the record's header says of the game."""
  from data_tools.collecting import collector

  return collector.make_collection(
    setting.rom,
    seed,
    setting.length,
    player,
    setting.jitter_frames,
    setting.save_state,
  )


if __name__ == "__main__":
  cli.run_main(main)
