"""Our dreams, timed in a process of their own: `benchmark_imagination` asks.

A batch of dreams is what training makes: actor in the scan; reward, continue
and value of all its states after it. Forms: "rows", drawn states as numbers
and sums of table rows, as everything else dreams in float32; "dense", one-hots
and products. An update is the one of `train_policy` (`policy_update.py`).
"""

import dataclasses
import functools
import time
from typing import Any

from experiments.machine import allocator
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.speed import turns
from pokedreamer_jax.config import run as config_lib

FORMS = ("rows", "dense")


class Dreams:
  """What a process of its own is asked."""

  def __init__(
    self,
    config: config_lib.Config,
    checkpoint: str = "",
    update: bool = False,
  ):
    """Makes the parameters.

    Args:
      config: sizes; of a checkpoint its own.
      checkpoint: run directory of a world model or agent; fresh weights
        without, which changes no shape.
      update: whether a run is a whole update of actor and critic.
    """
    allocator.keep_freed_memory()
    import jax

    # A cached program would hide the compile time.
    jax.config.update("jax_enable_compilation_cache", False)
    self._jax, self._config = jax, config
    self._params = _dreaming(_params(config, checkpoint))
    self._policy = () if update else _policies(config)
    self._updates = update
    self._states: dict[int, Any] = {}
    self._compiled: dict[tuple[str, int], Any] = {}
    self._product: Any = None

  def describe(self) -> dict[str, Any]:
    """Device and versions."""
    jax = self._jax
    return {
      "device": jax.devices()[0].device_kind,
      "platform": jax.default_backend(),
      "jax": jax.__version__,
      "dtype": self._config.world_model.compute_dtype,
    }

  def prepare(self, form: str, dreams: int) -> dict[str, float]:
    """Compiles and runs once; what that took, and what the program holds."""
    jax = self._jax
    began = time.perf_counter()
    if self._updates:
      state = _fresh_state(self._config)
      update = jax.jit(make_update(self._config, dreams), donate_argnums=1)
      compiled = update.lower(self._params, state, self._key()).compile()
      self._states[dreams] = state
    else:
      dream = jax.jit(make(self._config, dreams, form == "dense"))
      compiled = dream.lower(*self._arguments()).compile()
    compile_s = time.perf_counter() - began
    self._compiled[form, dreams] = compiled
    self.run(form, dreams)
    memory = compiled.memory_analysis()
    return {
      "compile_s": compile_s,
      "temporary_mib": memory.temp_size_in_bytes / 2**20,
    }

  def run(self, form: str, dreams: int) -> turns.Taken:
    """One batch of dreams, or an update by it."""
    compiled = self._compiled[form, dreams]
    if self._updates:
      with turns.taking() as taken:
        made = compiled(self._params, self._states[dreams], self._key())
        self._jax.block_until_ready(made)
      self._states[dreams], _ = made
      return taken
    arguments = self._arguments()
    with turns.taking() as taken:
      self._jax.block_until_ready(compiled(*arguments))
    return taken

  def product(self, size: int) -> turns.Taken:
    """One product of two matrices `[size, size]` of the dtype."""
    jax = self._jax
    if self._product is None:
      left = jax.numpy.ones(
        (size, size), self._config.world_model.compute_dtype
      )
      multiply = jax.jit(lambda a, b: a @ b)
      self._product = lambda: jax.block_until_ready(multiply(left, left))
      self._product()
    with turns.taking() as taken:
      self._product()
    return taken

  def _arguments(self) -> tuple[Any, ...]:
    return self._params, *self._policy, self._key()

  def _key(self) -> Any:
    return self._jax.random.key(0)


def make(config: config_lib.Config, dreams: int, dense: bool = False) -> Any:
  """`(params, actor, critic, key) -> ...`, a batch of judged dreams."""
  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.behaviour import policy_update
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import model as world_model
  from pokedreamer_jax.world_model import progress as progress_lib

  cfg, length = config.world_model, config.policy.horizon
  inputs_fn = functools.partial(policy_inputs.read, config)

  def dream(params, actor, critic, key):
    start = world_model.initial_state(cfg, (dreams,))
    reached = progress_lib.nothing((dreams,))
    policy_fn = policy_update.make_policy_fn(config.actor_critic, actor)
    path = imagination.roll(
      *(cfg, params, key, start, reached, policy_fn, length),
      inputs_fn=inputs_fn,
      dense=dense,
    )
    return path.action, *_judged(config, params, critic, path, inputs_fn)

  return dream


def make_update(config: config_lib.Config, dreams: int) -> Any:
  """`(params, state, key) -> (state, metrics)`, an update by so many dreams."""
  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.behaviour import policy_update
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import model as world_model
  from pokedreamer_jax.world_model import progress as progress_lib

  cfg = config.world_model

  def dream_fn(params, key, starts, policy_fn):
    del starts
    return imagination.imagine(
      *(cfg, params, key, world_model.initial_state(cfg, (dreams,))),
      *(progress_lib.nothing((dreams,)), policy_fn, config.policy.horizon),
      inputs_fn=functools.partial(policy_inputs.read, config),
    )

  learn = policy_update.make_update(config, dream_fn)
  return lambda params, state, key: learn(state, key, params, None, None)


def _fresh_state(config: config_lib.Config) -> Any:
  """Of actor and critic, past the updates of the critic alone."""
  import jax

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.behaviour import policy_state

  size = policy_inputs.size(config)
  state = policy_state.init_state(config, jax.random.key(1), size)
  update = state.update + config.policy.critic_warmup
  return dataclasses.replace(state, update=update)


def _judged(config, params, critic, path, inputs_fn) -> tuple[Any, ...]:
  """Outputs of the heads and values of the states of a dream."""
  from pokedreamer_jax.networks import actor_critic
  from pokedreamer_jax.networks import v2
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import parts
  from pokedreamer_jax.world_model import table_step

  cfg = config.world_model
  read = inputs_fn(path.state, path.progress)[1:]
  own = config.actor_critic.family == "v2"
  net = v2.Critic((config.actor_critic.units,) * 2)
  kernel = actor_critic.first_kernel(config.actor_critic, critic)
  if path.numbers is None:
    if own:
      value = net.apply({"params": critic}, read)
    else:
      value = actor_critic.critic_logits(config.actor_critic, critic, read)
    if cfg.family != "v2":
      return *imagination.judge(cfg, params, path), value
    heads = [
      parts.apply(cfg, params, name, read) for name in ("reward", "continue")
    ]
    return *heads, value
  deter = path.state.deter[1:]
  kernels = [kernel]
  if cfg.family == "v2":
    kernels += table_step.first_kernels(cfg, params)
  first, *heads = table_step.first_products(cfg, kernels, deter, path.numbers)
  beside = read[..., cfg.feat_dim :]
  if own:
    value = net.apply({"params": critic}, beside, first)
  else:
    value = actor_critic.critic_logits_after(
      config.actor_critic, critic, first, beside
    )
  if cfg.family == "v2":
    return *table_step.judged(cfg, params, heads), value
  return *imagination.judge(cfg, params, path), value


def _params(config: config_lib.Config, checkpoint: str) -> Any:
  import jax

  from pokedreamer_jax.frames import tiles
  from pokedreamer_jax.world_model import model as world_model

  if checkpoint:
    # An agent brings the world model that it acts on.
    if run_directory.read_stage(checkpoint) != "world_model":
      return inputs.load_agent(checkpoint).world_params
    return inputs.load_world_model(checkpoint)
  table = tiles.build([], config.world_model.tile_vocab)
  key = jax.random.key(config.seed)
  return world_model.init(config.world_model, key, table)


def _dreaming(params: Any) -> Any:
  """Without what no dream reads: it is most of the memory."""
  return {k: v for k, v in params.items() if k not in ("encoder", "decoder")}


def _policies(config: config_lib.Config) -> tuple[Any, Any]:
  """Fresh parameters of actor and critic."""
  import jax

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.networks import actor_critic
  from pokedreamer_jax.networks import v2

  size = policy_inputs.size(config)
  cfg = config.actor_critic
  actor_key, critic_key = jax.random.split(jax.random.key(1))
  actor = actor_critic.init_actor(cfg, actor_key, size)
  if cfg.family == "v2":
    module = v2.Critic((cfg.units, cfg.units))
    zeros = jax.numpy.zeros((1, size))
    return actor, module.init(critic_key, zeros)["params"]
  return actor, actor_critic.init_critic(cfg, critic_key, size)
