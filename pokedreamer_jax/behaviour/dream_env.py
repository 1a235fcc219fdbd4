"""A dream as an environment of functions: reset, step, and nothing that stays.

In the style of gymnax (Lange 2022), without depending on it: an `Env` holds
sizes alone, all else is in its parameters and its state, so that `vmap` makes
many of one and `lax.scan` runs them. `step` gives six values: what Gymnasium's
two ways of ending say stays apart.

    env = dream_env.Env(config)
    params = dream_env.EnvParams(world, starts, max_steps=512)
    obs, state = env.reset(key, params)
    obs, state, reward, terminated, truncated, info = env.step(
      key, state, action, params
    )

Everything here is of one environment, leaves `[...]`, but for `begin`, which
sees `N` rows at once.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import tokens

FRAME, FEATURES = "frame", "features"  # what may be observed
ENDS_BELOW = 0.5  # probability that the game goes on; below, it is over


@struct.dataclass
class EnvState:
  """A dream and what its episode has reached."""

  model: world_model.State
  progress: progress_lib.Progress
  earned: jax.Array  # [8] float32, reward terms of the episode
  time: jax.Array  # int32, steps since the episode began
  running: jax.Array  # bool; what a title screen leads to is no news


@struct.dataclass
class EnvParams:
  """What an environment is told."""

  world: world_model.Params
  starts: EnvState  # leaves [K, ...], of which episodes draw
  max_steps: Any = 511  # after so many steps an episode is truncated


@struct.dataclass
class Arrival:
  """What is paid for a step."""

  terms: jax.Array  # [8] float32, unweighted
  reward: jax.Array  # float32, what the configured objective pays for them
  cont: jax.Array  # float32, probability that the game goes on


def begin(
  cfg: config_lib.Config,
  world: world_model.Params,
  key: jax.Array,
  frame: jax.Array,
  ram: Mapping[str, jax.Array],
) -> EnvState:
  """Dreams, leaves `[N, ...]`, from first rows of games.

  Args:
    cfg: the configuration.
    world: parameters of the world model.
    key: typed PRNG key; consumed.
    frame: `[N, 144, 40]` uint8.
    ram: `dream_play.row_fields` of the rows, `[N, ...]`.
  """
  model, count = cfg.world_model, len(frame)
  state = world_model.act_step(
    model,
    world,
    key,
    world_model.initial_state(model, (count,)),
    frame,
    ram,
    jnp.full(count, specs.PASS, jnp.int32),
    jnp.ones(count, bool),
    infer=model.infers_tokens,
  )
  running = ram["game_running"] if model.ram == "given" else None
  return EnvState(
    model=state,
    progress=progress_lib.advance(
      model.token_sizes, state.tokens, progress_lib.nothing((count,)), running
    ),
    earned=jnp.zeros((count, specs.NUM_REWARD_TERMS)),
    time=jnp.zeros(count, jnp.int32),
    running=jnp.ones(count, bool) if running is None else running,
  )


def advance(
  cfg: config_lib.Config,
  world: world_model.Params,
  key: jax.Array,
  state: EnvState,
  action: jax.Array,
  likely: bool = False,
) -> tuple[EnvState, Arrival]:
  """One step of one dream.

  Args:
    cfg: the configuration; `policy.reward` names the objective.
    world: parameters of the world model.
    key: typed PRNG key; consumed.
    state: before the step.
    action: integer.
    likely: what is most likely happens, instead of a sample.
  """
  lifted = jax.tree.map(lambda leaf: leaf[None], state)
  ahead = imagination.prior_step(
    cfg.world_model,
    world,
    key,
    lifted.model,
    jnp.asarray(action, jnp.int32)[None],
    most_likely=likely,
  )
  reached = progress_lib.advance(
    cfg.world_model.token_sizes, ahead.tokens, lifted.progress
  )
  terms, reward = dream_play.paid(
    cfg, world, lifted.model, lifted.progress, lifted.earned, ahead, reached
  )
  logit = parts.apply(
    cfg.world_model, world, "continue", world_model.features(ahead)
  )
  terms = jnp.where(lifted.running[:, None], terms, 0.0)
  reward = jnp.where(lifted.running, reward, 0.0)
  after = EnvState(
    *(ahead, reached, lifted.earned + terms, lifted.time + 1),
    lifted.running | runs(cfg.world_model.token_sizes, ahead.tokens),
  )
  arrival = Arrival(terms, reward, jax.nn.sigmoid(logit))
  return jax.tree.map(lambda leaf: leaf[0], (after, arrival))


def runs(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """Whether tokens `[N, R]` are of a game, not of its title screen: `[N]`."""
  told = [
    name for name in ("party_size", "event_flags", "control") if name in sizes
  ]
  if not told:
    return jnp.ones(len(hot), bool)
  counts = [progress_lib.count(sizes, hot, name) > 0 for name in told]
  return jnp.any(jnp.stack(counts), axis=0)


Step = tuple[Any, EnvState, jax.Array, jax.Array, jax.Array, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Env:
  """One dream as an environment; holds no state.

  `observation` is `frame`, `[144, 40]` packed uint8, or `features`, `[F]`
  float32 of the world model, for which nothing is drawn.
  """

  config: config_lib.Config
  observation: str = FRAME
  likely: bool = False

  def __post_init__(self):
    if self.observation not in (FRAME, FEATURES):
      raise ValueError(
        f"observation: {self.observation!r}, expected {FRAME!r} or {FEATURES!r}"
      )
    dream_play.check(self.config)

  @property
  def num_actions(self) -> int:
    """Actions are indices into `specs.ACTIONS`."""
    return specs.NUM_ACTIONS

  def reset(self, key: jax.Array, params: EnvParams) -> tuple[Any, EnvState]:
    """What is seen of an episode's start, and its state; consumes `key`."""
    count = len(params.starts.time)
    number = jax.random.randint(key, (), 0, count)
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf)[number], params.starts)
    return self.observe(state, params), state

  def step_env(
    self,
    key: jax.Array,
    state: EnvState,
    action: jax.Array,
    params: EnvParams,
  ) -> Step:
    """`step` without a new episode at the end of one."""
    state, arrival = advance(
      self.config, params.world, key, state, action, self.likely
    )
    terminated = arrival.cont < ENDS_BELOW
    truncated = (state.time >= params.max_steps) & ~terminated
    info = {
      "reward_terms": arrival.terms,
      "cont": arrival.cont,
      "tokens": tokens.numbers(
        self.config.world_model.token_sizes, state.model.tokens
      ),
    }
    seen = self.observe(state, params)
    return seen, state, arrival.reward, terminated, truncated, info

  def step(
    self,
    key: jax.Array,
    state: EnvState,
    action: jax.Array,
    params: EnvParams,
  ) -> Step:
    """One step; where it ends an episode the next one has begun.

    Args:
      key: typed PRNG key; consumed.
      state: before the step.
      action: integer.
      params: of the environment.

    Returns:
      What is seen, the state, the reward on arriving, whether the game is
      over, whether the time is, and `info`: `reward_terms` `[8]`, `cont`, and
      `tokens` `[M]` of the state arrived at, even where another has begun.
    """
    step_key, reset_key = jax.random.split(key)
    seen, after, reward, terminated, truncated, info = self.step_env(
      step_key, state, action, params
    )
    fresh_seen, fresh = self.reset(reset_key, params)
    ended = terminated | truncated
    seen, after = jax.tree.map(
      lambda new, old: jnp.where(ended, new, old),
      (fresh_seen, fresh),
      (seen, after),
    )
    return seen, after, reward, terminated, truncated, info

  def observe(self, state: EnvState, params: EnvParams) -> jax.Array:
    """What is seen of a state."""
    model = jax.tree.map(lambda leaf: leaf[None], state.model)
    if self.observation == FEATURES:
      return world_model.features(model)[0]
    return world_model.decode(self.config.world_model, params.world, model)[0]
