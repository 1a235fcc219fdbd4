"""The stages of `train_agent`: turn after turn, each an ordinary command.

Turn 0 records, with lessons where `agent` asks for them, trains the world
model, clones and trains a policy. In every further turn that policy plays, the
world model goes on with what was played added to its data, and clone and policy
are trained anew on it. At the end all policies play the same games, under the
offline planner where they read goals.
Clones see as many demonstrated steps as the quickstart's (`clone.few_rows`);
with `agent.start=scratch` there are none.
"""

from collections.abc import Sequence
import pathlib
from typing import Any

from experiments import quickstart_plan
from experiments.playing import learned_players
from experiments.reports import agent_turns
from experiments.runs import stages
from pokedreamer_jax.config import run as config_lib


def check(config: config_lib.Config, rom: Any) -> None:
  """Finds early what would end a later stage.

  Raises:
    ValueError: as `quickstart_plan.check`; or the world model's updates are no
      multiple of those of a turn, or a player is unknown or not to be led.
  """
  quickstart_plan.check(config, rom, cloned=config.agent.start == "clone")
  agent, steps = config.agent, config.train.steps
  if config.train.epochs:
    raise ValueError(
      f"train.epochs: {config.train.epochs}, turns count updates, expected 0"
    )
  if agent.turns and steps % agent.updates:
    raise ValueError(
      f"agent.updates: {agent.updates}, expected a divisor of train.steps = "
      f"{steps}: new data is adopted at multiples of it"
    )
  if (
    learned_players.PLANNED in agent.policy_mix
    and not config.actor_critic.reads_goal
  ):
    raise ValueError(
      f"agent.policy_mix: {agent.policy_mix!r}, a planner leads policies with "
      "actor_critic.reads_goal=true alone"
    )
  for item in agent.policy_mix.split(","):
    name = item.strip().partition("=")[0].partition(":")[0]
    if name == "policy":
      continue
    from data_tools.players import policies

    policies.make_policy(policies.parse_mix(item)[0].behaviour, rom)


def make_plan(
  workdir: pathlib.Path,
  rom_path: str | None,
  config_arguments: Sequence[str],
  config: config_lib.Config,
) -> list[stages.Stage]:
  """The stages in order.

  Args:
    workdir: of the run.
    rom_path: the ROM to name in every command; None for chapter one.
    config_arguments: `--preset --seed --set` for every stage.
    config: the configuration that they describe.
  """
  rom = quickstart_plan.rom_arguments(rom_path)
  data, model = workdir / "data", workdir / "world_model"
  agent, plan = config.agent, list[stages.Stage]()

  def add(
    turn: int,
    name: str,
    title: str,
    module: str,
    directory: pathlib.Path,
    *arguments: str,
    done: pathlib.Path | None = None,
  ) -> None:
    plan.append(
      stages.Stage(
        f"{name} {turn}",
        f"Turn {turn}: {title}",
        f"experiments.{module}",
        (f"--workdir={directory}", *arguments),
        done or directory / "result.json",
      )
    )

  shared = tuple(config_arguments)
  cloned = agent.start == "clone"
  taught = quickstart_plan.taught(config)
  for turn in range(agent.turns + 1):
    here = agent_turns.turn_directory(workdir, turn)
    clone, policy = here / "clone", here / "policy"
    steps = config.train.steps + turn * agent.updates
    grown: tuple[str, ...] = ()
    if turn == 0:
      add(0, "collect", "record", "collect_data", data, *rom, *shared)
      for name, title, arguments in _lessons(config):
        add(
          *(0, name, title, "collect_data", here / name, f"--add_to={data}"),
          *(*rom, *shared, *arguments),
        )
    else:
      before = agent_turns.turn_directory(workdir, turn - 1) / "policy"
      grown = (
        f"--set=train.steps={steps}",
        f"--set=train.refresh_every={agent.updates}",
      )
      add(
        turn,
        "play",
        "the policy plays",
        "collect_data",
        here / "play",
        f"--add_to={data}",
        "--count_new",
        *rom,
        *shared,
        f"--policy={_players(agent.policy_mix, before)}",
        f"--episodes={agent.episodes}",
        f"--seed={turn_seed(config.seed, turn)}",
        *_fresh_play(agent),
      )
    add(
      turn,
      "world_model",
      "train the world model",
      "train_rssm",
      model,
      f"--data_dir={data}",
      *shared,
      *grown,
      # One run for all turns, whose own result is that of the last one: what
      # reads it next has begun once it was there.
      done=(clone if cloned else policy) / "config.json",
    )
    learn = (f"--data_dir={data}", f"--world_model={model}", *shared)
    if cloned:
      # Before what the user sets.
      add(turn, "clone", "clone", "clone_behaviour", clone, *taught, *learn)
    learn += (f"--clone={clone if cloned else ''}",)
    # Looks at honesty play the game.
    learn += tuple(rom) if config.policy.honesty_every else ()
    add(turn, "policy", "learn in dreams", "train_policy", policy, *learn)
  players = [
    f"--player={name}_{turn}={agent_turns.turn_directory(workdir, turn) / name}"
    for turn in range(agent.turns + 1)
    for name in (("clone", "policy") if cloned else ("policy",))
  ]
  how: tuple[str, ...] = ("--what=play", "--player=demonstrator")
  if config.actor_critic.reads_goal:
    # Goals are a planner's: the same for all of them.
    how = ("--what=agent", f"--data_dir={data}", "--set=evaluate.alone=false")
  add(
    agent.turns,
    "measure",
    "all play the same games",
    "evaluate",
    workdir / f"measured_{agent.turns}",
    *how,
    "--set=evaluate.videos=off",  # of so many players; before the user's
    *rom,
    *shared,
    *players,
  )
  return plan


def _lessons(
  config: config_lib.Config,
) -> list[tuple[str, str, tuple[str, ...]]]:
  """Name, title and flags of what is recorded beside `collect`."""
  agent = config.agent
  found: list[tuple[str, str, tuple[str, ...]]] = []
  if agent.demonstrations:
    flags = (
      f"--episodes={agent.demonstrations}",
      f"--episode_length={agent.demonstration_length}",
      "--start_states=power_on",
      "--policy=demonstrator:eps=0.05=0.5,demonstrator:eps=0.15=0.5",
      f"--seed={turn_seed(config.seed, 0)}",
    )
    found.append(("demonstrations", "whole games are demonstrated", flags))
  if agent.astray:
    back = (
      f"--episodes={agent.astray}",
      "--policy=demonstrator:lost=0.35=0.5,demonstrator:lost=0.35:eps=0.1=0.5",
      f"--seed={turn_seed(config.seed, 0, 0xA7)}",
    )
    found.append(("astray", "the way back is demonstrated", back))
  return found


def _fresh_play(agent: config_lib.AgentConfig) -> list[str]:
  """Flags of how long a turn's episodes are and where they start."""
  found = []
  if agent.play_length:
    found.append(f"--episode_length={agent.play_length}")
  if agent.play_states:
    found.append(f"--start_states={agent.play_states}")
  return found


def turn_seed(seed: int, turn: int, what: int = 0xA6) -> int:
  """Seed of a turn's play: no two turns and seeds play the same episodes."""
  import numpy as np

  return int(np.random.default_rng([seed, turn, what]).integers(1 << 31))


def _players(mix: str, directory: pathlib.Path) -> str:
  """The mix, with `policy` as the run that it stands for.

  >>> _players("policy=0.5,policy:eps=0.1=0.5", pathlib.Path("p"))
  'policy=p=0.5,policy=p:eps=0.1=0.5'
  """
  items = []
  for item in mix.split(","):
    text = item.strip()
    name, rest = text[:6], text[6:]
    if name == "policy" and rest[:1] in ("", ":", "="):
      text = f"policy={directory}{rest}"
    items.append(text)
  return ",".join(items)
