"""Learned players of `collect_data --policy`: checkpoints and frozen files.

    policy=DIR[:eps=P][:deterministic][:planner][=share]   a run of ours
    sb3=PATH.zip[:eps=P][:deterministic][=share]           Stable-Baselines3 PPO

In a collection they are named by their weights, not by where these lie. With
`:planner` the offline planner names the goals, one for each game.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import numpy as np

from experiments.runs import inputs
from pokedreamer_jax.planner import knowledge as knowledge_lib

Players = dict[str, Callable[[int], Any]]

_ITEM = re.compile(
  r"(?P<kind>sb3|policy)=(?P<path>.+?)"
  r"(?P<options>(:eps=[0-9.eE+-]+|:deterministic|:planner)*)"
  r"(?P<share>=[0-9.eE+-]+)?"
)
PLANNED = ":planner"  # the option
_DIGITS = 12  # of what a planner knows, in a player's name


def resolve(
  mix: str,
  rom: Any,
  round_number: int | None = None,
  other_rom: bool = False,
  knowledge: Callable[[], knowledge_lib.Knowledge] = knowledge_lib.Knowledge,
) -> tuple[str, Players, list[str]]:
  """Reads the learned players of a mix.

  Args:
    mix: behaviours with their shares; those of other kinds stay as they are.
    rom: a `data_tools.game.roms.Rom`.
    round_number: of a round beside the learner, in which runs play their
      newest checkpoint; None where there are no rounds.
    other_rom: whether runs may play a ROM they were not trained on.
    knowledge: gives what the planner of players with `:planner` knows; called
      where there are any.

  Returns:
    The mix with weights instead of paths; behaviour -> what makes the player
    for a number of streams; remarks for a person.

  Raises:
    ValueError: malformed, or nothing that can be read or play this ROM; or a
      policy under a planner that knows nothing, or that reads no goals.
  """
  from data_tools.players import policies

  items, players, notes = [], Players(), list[str]()
  known = knowledge() if PLANNED in mix else None
  for item in mix.split(","):
    text = item.strip()
    if text.startswith(("sb3=", "policy=")):
      path, eps, most, planned, share, kind = _parse(text)
      if kind == "sb3":
        name, make, note = _sb3(path)
      else:
        inputs.check_kind(path, agent=True)
        note = inputs.check_rom(path, rom, other_rom)
        led = (known, rom.map_names) if known and planned else None
        name, make = _agent(path, most, round_number, led)
      name += ":deterministic" if most else ""
      text = f"{name}:eps={eps:g}" if eps else name
      players[policies.parse_mix(text)[0].behaviour] = make
      text += share
      notes += [note] if note else []
    items.append(text)
  return ",".join(items), players, notes


def _parse(item: str) -> tuple[str, float, bool, bool, str, str]:
  """Path, eps, whether deterministic and planned, `=share` or "", and kind."""
  match = _ITEM.fullmatch(item)
  eps = 0.0
  try:
    for option in match["options"].split(":") if match else ():
      if option.startswith("eps="):
        eps = float(option.removeprefix("eps="))
  except ValueError:
    eps = -1.0
  kind, _, _ = item.partition("=")
  planned = match is not None and PLANNED in match["options"]
  if match is None or not 0 <= eps <= 1 or (planned and kind == "sb3"):
    where = "PATH" if kind == "sb3" else "DIR"
    more = "" if kind == "sb3" else f"[{PLANNED}]"
    raise ValueError(
      f"policy {item!r}: expected {kind}={where}[:eps=probability]"
      f"[:deterministic]{more}[=share]"
    )
  most = ":deterministic" in match["options"]
  return match["path"], eps, most, planned, match["share"] or "", kind


def _sb3(path: str):
  from data_tools.foreign import sb3_policy

  # It gets its chance with each step, knows pixels alone and never learns.
  weights = sb3_policy.read(path)

  def make(count: int) -> FramePlayer:
    return FramePlayer(sb3_policy.Player(weights, count))

  return f"sb3:{weights.sha256[:12]}", make, ""


def _agent(
  directory: str,
  most: bool,
  round_number: int | None,
  led: tuple[knowledge_lib.Knowledge, Mapping[int, str]] | None,
):
  """Name and maker of a run's player.

  Args:
    directory: the run.
    most: whether it takes the most likely actions.
    round_number: as in `resolve`.
    led: what its planner knows, and the names of maps; None for no planner.
  """
  name = inputs.fingerprint(directory)
  step = name["step"]
  played = "" if round_number is None else f":round={round_number}"
  if led is None:
    agent = inputs.load_player(directory, step)

    def make(count: int) -> AgentPlayer:
      return AgentPlayer(agent, count, most)

    return f"policy:{name['config']}{played}@{step}", make
  from experiments.playing import planned_player

  digest = f"{PLANNED}={led[0].sha256[:_DIGITS]}"
  made = planned_player.maker(directory, step, *led, most)
  return f"policy:{name['config']}{digest}{played}@{step}", made


class FramePlayer:
  """A player that sees frames alone, for `data_tools.collecting.lockstep`."""

  def __init__(self, player: Any):
    self._player = player

  def act(
    self,
    rows: Mapping[str, np.ndarray],
    action_tm1: np.ndarray,
    uniforms: np.ndarray | None = None,
  ) -> np.ndarray:
    """See `lockstep.BatchPolicy`."""
    del action_tm1
    return self._player.act(rows["frame"], rows["is_first"], uniforms)


class AgentPlayer:
  """An agent of ours on `N` streams, each with its own chance."""

  def __init__(self, agent: inputs.Agent, count: int, greedy: bool):
    from pokedreamer_jax.behaviour import acting

    self._act = acting.make_act(
      agent.config, agent.world_params, agent.actor_params, greedy, True
    )
    self._state = acting.init_state(agent.config.world_model, count)

  def act(
    self,
    rows: Mapping[str, np.ndarray],
    action_tm1: np.ndarray,
    uniforms: np.ndarray | None = None,
  ) -> np.ndarray:
    """See `lockstep.BatchPolicy`."""
    import jax.numpy as jnp

    from pokedreamer_jax.behaviour import acting

    keys = acting.keys_of(uniforms, len(action_tm1))
    # What was played, which a random action may have replaced.
    state = dataclasses.replace(
      self._state, action_tm1=jnp.asarray(action_tm1, jnp.int32)
    )
    self._state, actions = self._act(
      state,
      rows["frame"],
      acting.ram_of(rows),
      rows["is_first"],
      keys,
    )
    return np.asarray(actions, np.uint8)
