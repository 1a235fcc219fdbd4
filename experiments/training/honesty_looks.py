"""Looks at a policy while it learns: what dreams promise, and the game pays.

Every `policy.honesty_every` updates the policy and the one that it began as are
compared from the same rows of held-out episodes, dreamt and played, by what
`evaluate --what=dreams` measures with; under goals by `--what=goals`, the same
goal in both. Nothing is taught by it: it has keys of its own, and no update
reads what it finds. The one thing that it may decide is when to stop
(`policy.on_alarm`).
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import itertools
import os
from typing import Any

import numpy as np

from data_tools.records import loader
from experiments.machine import meter
from experiments.playing import dream_cases
from experiments.playing import dream_episodes
from experiments.playing import entering
from experiments.playing import goal_cases
from experiments.playing import goal_episodes
from experiments.playing import reentering
from experiments.runs import inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.evaluation import honesty
from pokedreamer_jax.evaluation import parting

_DREAMS = 8  # from each game that is entered
_DRAWS = 2000  # bootstrap resamples
_SALT = 0x100C  # of the seed that starts are drawn with


@dataclasses.dataclass
class Ground:
  """The starts of all looks."""

  # Of an `inputs.Agent`: what is dreamt and what is real from each start, both
  # `[C]`, means over its dreams and plays.
  measure: Callable[[Any], tuple[np.ndarray, np.ndarray]]
  groups: np.ndarray  # [C], the episode of each
  played_env_steps: int  # emulator steps of one measurement
  again: reentering.Again | None = None  # what it shares

  @property
  def entered_env_steps(self) -> int:
    """Emulator steps that entering the games has taken so far."""
    return self.again.entered_env_steps if self.again else 0


def ground(config: config_lib.Config, generation: Any, rom: Any) -> Ground:
  """Chooses the starts; games are entered at the first measurement.

  Args:
    config: of the policy.
    generation: whose held-out episodes give the starts.
    rom: a `data_tools.game.roms.Rom`, of the recording.

  Raises:
    ValueError: starts in fewer than two episodes.
  """
  index = loader.EpisodeIndex(generation, "val")
  places = entering.places(index, config.collect.jitter_frames)
  policy, under_goals = config.policy, config.actor_critic.reads_goal
  seed = int(np.random.default_rng([config.seed, _SALT]).integers(1 << 31))
  setting = entering.Setting(
    rom=rom,
    index=index,
    jitter_frames=config.collect.jitter_frames,
    limit=config.goals.horizon if under_goals else policy.horizon,
    workers=config.collect.workers,
  )
  make = _under_goals if under_goals else _in_returns
  measure, groups, again = make(config, setting, places, seed)
  if len(set(groups.tolist())) < 2:
    raise ValueError(
      f"policy.honesty_every: {policy.honesty_every}, {len(groups)} starts in "
      f"{len(set(groups.tolist()))} of {len(index)} held-out episodes, expected"
      " two episodes (policy.honesty_starts, honesty_most_row), or 0"
    )
  played = len(groups) * policy.honesty_plays * setting.limit
  return Ground(measure, groups, played, again)


def _in_returns(config, setting, places, seed):
  """Undiscounted returns in the objective's weights, from rows of all kinds."""
  policy = config.policy
  cases = dream_cases.choose(
    *(setting.index, places, policy.honesty_starts, setting.limit),
    *(policy.honesty_most_row, np.random.default_rng([config.seed, _SALT])),
  )
  again = dream_episodes.make_again(config, setting.limit, _DREAMS)

  def measure(agent):
    ends = dream_episodes.play(
      *(agent, cases, setting, policy.honesty_plays, _DREAMS, seed),
      again=again,
    )
    return ends.dreamt.mean(axis=1), ends.real.mean(axis=1)

  return measure, np.array([case.entry.place for case in cases]), again


def _under_goals(config, setting, places, seed):
  """Shares that reach the goal that is given, kinds alike."""
  policy = config.policy
  kinds = config.goals.kind_weights
  chosen = goal_cases.choose(
    *(setting.index, places, kinds, policy.honesty_starts),
    *(config.goals.horizon, setting.limit, policy.honesty_most_row),
    np.random.default_rng([config.seed, _SALT]),
  )
  cases = in_turn(chosen)[: policy.honesty_starts]
  again = goal_episodes.make_again(config, setting.limit, _DREAMS)

  def measure(agent):
    ends = goal_episodes.play(
      *(agent, cases, setting, seed),
      dreams=_DREAMS,
      conditions=("right",) * policy.honesty_plays,
      again=again,
    )
    return ends.dreamt, (ends.reached >= 0).mean(axis=1)

  return measure, np.array([case.place for case in cases]), again


def in_turn(
  cases: Sequence[goal_cases.Case],
) -> list[goal_cases.Case]:
  """Cases on the way, one of each kind, then a second of each, and so on."""
  kinds: dict[str, list[goal_cases.Case]] = {}
  for case in cases:
    if not case.off_way:
      kinds.setdefault(case.goal.kind, []).append(case)
  rounds = itertools.zip_longest(*kinds.values())
  return [case for some in rounds for case in some if case is not None]


class Looks:
  """All looks at one policy, in the order of its updates."""

  def __init__(
    self,
    config: config_lib.Config,
    world_params: Any,
    began: Any,
    on: Ground,
    say: Callable[[str], None],
  ):
    """Measures nothing yet.

    Args:
      config: of the policy.
      world_params: whole, of its world model.
      began: parameters of the actor that it began as; copied.
      on: where to look from.
      say: takes lines for a person.
    """
    import jax

    self.found: list[dict[str, float]] = []  # update and metrics of each look
    self._config = config
    self._world_params = world_params
    self._began = jax.device_get(began)
    self._ground = on
    self._say = say
    self._at_first: tuple[np.ndarray, np.ndarray] | None = None

  def due(self, update: int, last: bool) -> bool:
    """Whether to look after an update."""
    return last or update % self._config.policy.honesty_every == 0

  @property
  def stopped(self) -> bool:
    """Whether an alarm has ended the training."""
    stops = self._config.policy.on_alarm == "stop"
    return stops and any(look["honesty/alarm"] for look in self.found)

  def look(self, update: int, actor: Any) -> dict[str, float]:
    """Measures the policy after an update and says what came out.

    Args:
      update: number of the updates it has had.
      actor: its parameters; read, not kept.

    Returns:
      Metrics `honesty/...`, the same ones whenever it is called for these
      parameters and looks before, and `machine/honesty_cpu_s`, seconds of the
      processor that it took, emulators included.
    """
    began_s = _cpu_s()
    if self._at_first is None:
      self._at_first = self._measure(self._began)
      self._say(
        f"policy: honesty is looked at from {len(self._ground.groups)} rows of "
        f"{len(set(self._ground.groups.tolist()))} held-out episodes; entering "
        f"them took {self._ground.entered_env_steps:,} emulator steps, and a "
        f"look takes {self._ground.played_env_steps:,}; none of them teaches"
      )
    dreamt, real = self._measure(actor)
    groups = self._ground.groups
    gain_dreamt, gain_real = (
      dreamt - self._at_first[0],
      real - self._at_first[1],
    )
    gains = parting.gains(gain_dreamt, gain_real, groups, _DRAWS)
    realised = honesty.realised(gain_dreamt, gain_real, groups, _DRAWS)
    alarm = gains.parted
    # As if nobody had begun again in between: entering once, the policy that it
    # began as, and every look.
    measured = len(self.found) + 2
    env_steps = (
      self._ground.entered_env_steps + measured * self._ground.played_env_steps
    )
    metrics = {
      "honesty/imagined_return": float(dreamt.mean()),
      "honesty/real_return": float(real.mean()),
      **_interval("imagined_gain", gains.imagined),
      **_interval("real_gain", gains.real),
      **_interval("realised", realised["ratio"]),
      **_interval(
        "correlation", honesty.correlation(dreamt, real, groups, _DRAWS)
      ),
      "honesty/alarm": float(alarm),
      "honesty/emulator_steps": float(env_steps),
    }
    self.found.append({"update": update, **metrics})
    ratio = realised["ratio"]
    share = "" if ratio is None else f", {ratio['value']:.2f} of it"
    self._say(
      f"policy: update {update}: dreams gain {_shown(gains.imagined)} over "
      f"what it began as, the game {_shown(gains.real)}{share}"
    )
    if alarm:
      self._say(
        f"policy: ALARM: dreams and game part at update {update}: dreams "
        f"promise {gains.imagined['mean']:.3f} more, and beyond doubt the game "
        f"pays less than half of it, {_shown(gains.real)}"
      )
    return metrics | {f"{meter.PREFIX}honesty_cpu_s": _cpu_s() - began_s}

  def result(self) -> dict[str, Any]:
    """What `result.json` keeps; best is the look with the largest real gain.

    Update 0, what the policy began as, where none gained anything.
    """
    if not self.found:
      return {}
    began = {"update": 0, inputs.REAL_GAIN: 0.0}
    best = max([began, *self.found], key=lambda look: look[inputs.REAL_GAIN])
    return {
      "looks": len(self.found),
      "alarms": [
        int(look["update"]) for look in self.found if look["honesty/alarm"]
      ],
      "stopped": self.stopped,
      "best": best,
      "last": self.found[-1],
      "emulator_steps": int(self.found[-1]["honesty/emulator_steps"]),
    }

  def _measure(self, actor: Any) -> tuple[np.ndarray, np.ndarray]:
    return self._ground.measure(
      inputs.Agent(self._config, self._world_params, actor)
    )


def summary(result: dict[str, Any]) -> str:
  """Of `Looks.result`, for the last line of a run; "" without looks."""
  if not result:
    return ""
  last, alarms = result["last"], result["alarms"]
  text = (
    f", real gain {last[inputs.REAL_GAIN]:.3g} for "
    f"{last['honesty/imagined_gain']:.3g} in dreams"
  )
  if alarms:
    text += f"; dreams and game parted at update {', '.join(map(str, alarms))}"
  if result["stopped"]:
    text += "; ended there, and went back to the best policy measured"
  return text


def _cpu_s() -> float:
  """Of this process and of children that have ended."""
  times = os.times()
  return sum(times[:4])


def _interval(name: str, found: dict[str, float] | None) -> dict[str, float]:
  """Metrics of a value with its interval; none where it is not defined."""
  if found is None:
    return {}
  value = found["value"] if "value" in found else found["mean"]
  return {
    f"honesty/{name}": value,
    f"honesty/{name}_low": found["low"],
    f"honesty/{name}_high": found["high"],
  }


def _shown(found: dict[str, float]) -> str:
  return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
