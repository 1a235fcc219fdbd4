"""Acting: encode the frame, update the state, choose; one jitted function.

The state is carried from the first frame of an episode on, for as long as it
lasts, and holds the agent's own last action.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from pokedreamer_jax.world_model import progress as progress_lib


@struct.dataclass
class ActState:
  """What `B` players remember between frames."""

  model: world_model.State  # leaves [B, ...]
  progress: progress_lib.Progress  # leaves [B, ...], what episodes reached
  action_tm1: jax.Array  # [B] int32, ignored where a row is first
  # [B, 64] float32, vectors of goals; 0 is none. They stay until they are
  # replaced, over the ends of episodes too; see `pursuing`.
  goal: jax.Array


# Of a world model, what observing takes; decoder and heads are for dreams.
_ACTING = ("encoder", "rssm", "chain")

# (state, frame [B, 144, 40], ram {name: [B, ...]}, is_first [B], key)
# -> (state, actions [B] int32)
ActFn = Callable[..., tuple[ActState, jax.Array]]


def init_state(
  cfg: world_model_config.WorldModelConfig, players: int
) -> ActState:
  """The state of `players` before their first frame."""
  return ActState(
    model=world_model.initial_state(cfg, (players,)),
    progress=progress_lib.nothing((players,)),
    action_tm1=jnp.zeros((players,), jnp.int32),
    goal=jnp.zeros((players, goal_embeddings.DIM)),
  )


def pursuing(cfg: config_lib.Config, state: ActState, goal: Any) -> ActState:
  """`state` with other goals, vectors `[B, 64]` of `goal_embeddings`.

  Raises:
    ValueError: the policy was not trained under goals.
  """
  if not cfg.actor_critic.reads_goal:
    raise ValueError(
      "actor_critic.reads_goal: False, this policy was not trained under goals"
    )
  return dataclasses.replace(state, goal=jnp.asarray(goal, jnp.float32))


def ram_of(row: Mapping[str, Any]) -> dict[str, Any]:
  """The RAM fields of a row of step fields `[B, ...]`."""
  return {field.name: row[field.name] for field in specs.RAM_FIELDS}


def acting_params(
  cfg: world_model_config.WorldModelConfig, world_params: Any
) -> Any:
  """The part of a world model that `make_act` reads.

  Args:
    cfg: the configuration of the world model.
    world_params: its parameters, or their shapes.
  """
  kept = {name: world_params[name] for name in _ACTING if name in world_params}
  if cfg.has_dictionary and cfg.encoder == "dictionary":
    kept["tiles"] = world_params["tiles"]
  if cfg.reads_around or (cfg.num_boxes and "letters" in cfg.token_sizes):
    kept["atlas"] = world_params["atlas"]
  averages = world_params.get(world_model_v2.BATCH_STATS)
  if averages is not None:
    kept[world_model_v2.BATCH_STATS] = {"encoder": averages["encoder"]}
  return kept


def make_act(
  cfg: config_lib.Config,
  world_params: Any,
  actor_params: Any,
  greedy: bool = False,
  own_keys: bool = False,
) -> ActFn:
  """Makes the jitted acting step of one agent.

  Args:
    cfg: the configuration; `cfg.world_model.ram` decides whether tokens are
      read from the RAM, guessed from the frame, or absent. Under the
      published action alignment a frame's step takes the action chosen at the
      frame, which is so chosen before the frame is seen.
    world_params: parameters of the world model, at least `acting_params`.
    actor_params: parameters of the actor.
    greedy: take the most likely action instead of a sample.
    own_keys: every player has a key of its own, so that its chance does not
      depend on who plays beside it.

  Returns:
    `(state, frame, ram, is_first, key) -> (state, actions [B] int32)`; the
    key, or the keys `[B]` with `own_keys`, is consumed, and `state` must not
    be used again.
  """
  step = make_act_step(cfg, greedy, own_keys)
  on_cpu = jax.devices()[0].platform == "cpu"
  if cfg.world_model.family == "v2" and on_cpu:
    world_params = world_model_v2.turned(world_params)
  return functools.partial(step, world_params, actor_params)


def make_act_step(
  cfg: config_lib.Config, greedy: bool = False, own_keys: bool = False
) -> Callable[..., tuple[ActState, jax.Array]]:
  """As `make_act`, for many agents of one configuration: compiled once.

  Returns:
    `(world_params, actor_params, state, frame, ram, is_first, key)` gives what
    the function of `make_act` gives.
  """

  def choose(actor_params, model, progress, goal, key):
    inputs = policy_inputs.read(cfg, model, progress, goal)
    logits = actor_critic.actor_logits(cfg.actor_critic, actor_params, inputs)
    if greedy:
      return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return sampling.categorical(key, logits)

  # Parameters are arguments: constants would be folded into the program.
  def act(world_params, actor_params, state, frame, ram, is_first, key):
    model_key, action_key = jax.random.split(key)
    ahead = cfg.world_model.action_alignment == "published"
    taken, progress = (
      state.action_tm1,
      restart_progress(state.progress, is_first),
    )
    if ahead:
      before = world_model.restart(cfg.world_model, state.model, is_first)
      taken = choose(actor_params, before, progress, state.goal, action_key)
    model = world_model.act_step(
      cfg.world_model,
      world_params,
      model_key,
      state.model,
      frame,
      ram,
      taken,
      is_first,
      infer=cfg.world_model.infers_tokens,
    )
    running = ram["game_running"] if cfg.world_model.ram == "given" else None
    progress = progress_lib.advance(
      cfg.world_model.token_sizes, model.tokens, progress, running
    )
    action = taken
    if not ahead:
      action = choose(actor_params, model, progress, state.goal, action_key)
    return ActState(model, progress, action, state.goal), action

  def act_apart(world_params, actor_params, state, frame, ram, is_first, keys):
    state, frame, ram, is_first = jax.tree.map(  # [B, 1, ...]
      lambda leaf: leaf[:, None], (state, frame, ram, is_first)
    )
    state, action = jax.vmap(act, (None, None, 0, 0, 0, 0, 0))(
      world_params, actor_params, state, frame, ram, is_first, keys
    )
    return jax.tree.map(lambda leaf: leaf[:, 0], (state, action))

  jitted = jax.jit(act_apart if own_keys else act, donate_argnums=2)
  device = jax.devices()[0]

  def act_fn(
    world_params, actor_params, state, frame, ram, is_first, key
  ) -> tuple[ActState, jax.Array]:
    # Bound to the device from the first call on, as restored parameters are;
    # otherwise the second call would compile again.
    state = jax.device_put(state, device)
    return jitted(world_params, actor_params, state, frame, ram, is_first, key)

  return act_fn


def keys_of(uniforms: np.ndarray | None, players: int) -> jax.Array:
  """Keys `[B]` for `own_keys`, of the chance of a step.

  Args:
    uniforms: `[B]` in [0, 1); None is the same chance for all.
    players: `B`.
  """
  chance = np.zeros(players) if uniforms is None else uniforms
  return jax.vmap(jax.random.key)((chance * (1 << 32)).astype(np.uint32))


def restart_progress(
  progress: progress_lib.Progress, is_first: jax.Array
) -> progress_lib.Progress:
  """`progress`, but nothing in the rows `[B]` that are first."""
  return jax.tree.map(
    lambda leaf: jnp.where(
      is_first.reshape(-1, *(1,) * (leaf.ndim - 1)), jnp.zeros_like(leaf), leaf
    ),
    progress,
  )
