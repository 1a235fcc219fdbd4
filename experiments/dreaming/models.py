"""What dreams, read from run directories, and the program of one step."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.config import run as config_lib


@dataclasses.dataclass(frozen=True)
class Model:
  """A world model, and perhaps a policy that was trained in its dreams."""

  config: config_lib.Config
  params: dream_play.Params
  name: str  # of the weights, wherever they lie

  @property
  def has_policy(self) -> bool:
    """Whether somebody plays but the person."""
    return self.params.actor is not None

  @property
  def reads_goals(self) -> bool:
    """Whether the policy can be given goals."""
    return self.has_policy and self.config.actor_critic.reads_goal


def check(world_model: str | None, policy: str | None) -> None:
  """Looks at run directories before anything is loaded.

  Args:
    world_model: run directory of a world model.
    policy: of a policy or a clone.

  Raises:
    ValueError: neither is given, one is of another stage, they do not belong
      together, or it cannot be played.
  """
  if not world_model and not policy:
    raise ValueError("--world_model or --policy is required")
  if world_model:
    inputs.check_kind(world_model, agent=False)
  if policy:
    inputs.check_kind(policy, agent=True)
  if world_model and policy:
    recorded = run_directory.read_config(policy).get("inputs", {})
    asked = inputs.fingerprint(world_model)
    if recorded.get("world_model") != asked:
      raise ValueError(
        f"--policy={policy}: trained on another world model than "
        f"--world_model={world_model}, expected its own; leave one out, a "
        "policy holds its world model"
      )
  dream_play.check(inputs.load_config(policy or world_model or ""))


def load(world_model: str | None, policy: str | None) -> Model:
  """The model in a policy's run directory, or a world model alone."""
  directory = policy or world_model or ""
  mark = inputs.fingerprint(directory)
  name = f"{mark['config']}@{mark['step']}"
  if not policy:
    params = inputs.load_world_model(directory)
    config = inputs.load_config(directory)
    return Model(config, dream_play.Params(params), name)
  agent = inputs.load_agent(policy)
  critic = None
  if run_directory.read_stage(policy) == "policy":
    critic = inputs.load_item(policy, "critic")
  params = dream_play.Params(agent.world_params, agent.actor_params, critic)
  return Model(agent.config, params, name)


# What compiles sooner on a CPU, and what runs sooner there. Loops are emitted
# in the same way for both. They round apart in the last bits of a float32, and
# no draw and no pixel was seen to tell (`models_test.py` looks).
_HURRIED = {
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
  "xla_cpu_use_fusion_emitters": False,
}
_QUICK = {
  "xla_backend_optimization_level": 1,
  "xla_cpu_use_fusion_emitters": False,
}

Work = tuple[dream_play.Player, dream_play.Asked]
Outcome = tuple[dream_play.Player, dream_play.Shown]


class Stepper:
  """One step of up to `players` players: one program for all that is asked.

  What is remembered lies in the memory of the host, so that any player may be
  in any place of any step, and be taken back to where it was.

  On a CPU the program is made twice: `warm_up` compiles it in a hurry, in half
  the time, and `improve` puts one that is twice as quick in its place, while
  somebody plays already.
  """

  def __init__(self, model: Model, players: int = 4):
    """`players` is how many a step takes at most; `warm_up` comes first."""
    import functools

    import jax

    self.model = model
    self.players = players
    self._jax = jax
    self._on_cpu = jax.default_backend() == "cpu"
    self._program = functools.partial(dream_play.advance, model.config)
    # Bound to the device once: as host arrays they would travel every step.
    self._params = jax.device_put(model.params, jax.devices()[0])
    cfg = model.config.world_model
    # As one program: one by one these zeros compile for a second.
    make = lambda: (dream_play.nobody(cfg, 1), dream_play.asks_nothing(cfg, 1))
    one = jax.device_get(jax.jit(make)())
    self.nobody, self.nothing = jax.tree.map(lambda leaf: leaf[0], one)

  def run(self, works: Sequence[Work]) -> list[Outcome]:
    """What becomes of players and is shown to them, in order.

    Args:
      works: at most `players`, leaves without a leading axis.

    Raises:
      ValueError: none, or too many.
    """
    if not 0 < len(works) <= self.players:
      raise ValueError(f"players: {len(works)}, expected 1 to {self.players}")
    made = self._jax.device_get(self._step(self._params, *self._stack(works)))
    return [
      self._jax.tree.map(lambda leaf, i=i: leaf[i], made)
      for i in range(len(works))
    ]

  def warm_up(self) -> None:
    """Compiles, so that the first step is as quick as the others."""
    nobody = self._stack([(self.nobody, self.nothing)])
    self._lowered = self._jax.jit(self._program).lower(self._params, *nobody)
    self._step = self._compile(_HURRIED)
    self.run([(self.nobody, self.nothing)])

  def improve(self) -> None:
    """Compiles again, and better; from any thread, while steps are made."""
    if self._on_cpu:
      self._step = self._compile(_QUICK)

  def _compile(self, options: Mapping[str, Any]) -> Any:
    return self._lowered.compile(
      compiler_options=dict(options) if self._on_cpu else None
    )

  def _stack(self, works: Sequence[Work]) -> Any:
    """Players and what they ask, leaves `[players, ...]`."""
    idle = [(self.nobody, self.nothing)] * (self.players - len(works))
    return self._jax.tree.map(lambda *leaves: np.stack(leaves), *works, *idle)
