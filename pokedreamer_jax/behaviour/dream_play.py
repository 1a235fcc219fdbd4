"""Playing in a dream, one step at a time: all that a step is asked, at once.

A player has two states of one world model. The dream is rolled forward under
buttons alone; what is seen of the real game beside it keeps the other one up to
date, so that the dream can go on from there at any moment. `advance` does for
`N` players what each asks for: dream a step, see a row, let the dream follow
what was seen; and it reads the dream: frame, tokens, value, what a policy would
press. Nothing in it branches on what is asked, so one program serves all.

Every player has chance of its own, drawn from its luck and the number of the
step: the same luck, buttons and rows give the same frames, whoever plays
beside.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.networks import two_hot
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import progress as progress_lib
from pokedreamer_jax.world_model import reward_heads
from pokedreamer_jax.world_model import tokens

# Of jax within a step; on the host, between two steps, of numpy.
Array = Any


@struct.dataclass
class Params:
  """What plays; a part that is None is not there."""

  world: world_model.Params
  actor: Any = None
  critic: Any = None


@struct.dataclass
class Player:
  """What is remembered of `N` players, leaves `[N, ...]`."""

  dream: world_model.State
  seen: world_model.State  # after the real rows so far
  progress: progress_lib.Progress  # what the dream has reached
  real: progress_lib.Progress  # what the real game has
  earned: jax.Array  # [N, 8] terms of the dream so far


@struct.dataclass
class Asked:
  """What `N` players ask of a step, leaves `[N, ...]`."""

  dreams: Array  # bool, the dream takes a step
  sees: Array  # bool, a real row is seen
  follows: Array  # bool, the dream goes on from what was seen, this row too
  shows: Array  # bool, the dream is read, after all this
  likely: Array  # bool, dreams take what is most likely
  # int32: what the dream's step takes, and what led to the row that is seen.
  action: Array
  luck: Array  # uint32
  step: Array  # uint32
  goal: Array  # [N, 64] float32, `goal_embeddings`; zeros are none
  is_first: Array  # bool, the row is the first of its game
  frame: Array  # [N, 144, 40] uint8 of the row
  ram: dict[str, Array]  # `row_fields` of it


@struct.dataclass
class Shown:
  """What there is to be seen of `N` dreams, leaves `[N, ...]`."""

  frame: Array  # [N, 144, 40] uint8
  tokens: Array  # [N, M] int32, in the order of the configuration
  heads: dict[str, Array]  # float32, what RAM heads expect
  terms: Array  # [N, 8] float32, on arriving by this step
  reward: Array  # float32, what the objective pays for them
  cont: Array  # float32, probability that the game goes on
  value: Array  # float32, 0 without a critic
  odds: Array  # [N, A] float32, of the policy; zeros without one
  choice: Array  # int32, what the policy would press
  # float32, nats by which the row that is seen surprises: its picture (the
  # latents' divergence) and its tokens.
  surprise: Array
  token_surprise: Array


def check(cfg: config_lib.Config) -> None:
  """Raises ValueError for a model that cannot be played step by step."""
  cfg.world_model.check_reward_terms()
  alignment = cfg.world_model.action_alignment
  if alignment != "previous":
    raise ValueError(
      f"world_model.action_alignment: {alignment!r}, whose buttons show a step "
      "later, expected 'previous'"
    )


def row_fields(cfg: world_model_config.WorldModelConfig) -> tuple[str, ...]:
  """Names of the RAM fields that seeing a row needs."""
  fields = {name for token in cfg.token_sizes for name in tokens.fields(token)}
  return tuple(sorted(fields | {"game_running"}))


def nobody(cfg: world_model_config.WorldModelConfig, count: int) -> Player:
  """`count` players who have seen nothing yet."""
  blank = world_model.initial_state(cfg, (count,))
  nothing = progress_lib.nothing((count,))
  return Player(
    dream=blank,
    seen=blank,
    progress=nothing,
    real=nothing,
    earned=jnp.zeros((count, specs.NUM_REWARD_TERMS)),
  )


def asks_nothing(cfg: world_model_config.WorldModelConfig, count: int) -> Asked:
  """`count` players who ask for nothing."""
  sizes = {field.name: field for field in specs.RAM_FIELDS}
  no, zero = jnp.zeros(count, bool), jnp.zeros(count, jnp.uint32)
  return Asked(
    dreams=no,
    sees=no,
    follows=no,
    shows=no,
    likely=no,
    action=jnp.full(count, specs.PASS, jnp.int32),
    luck=zero,
    step=zero,
    goal=jnp.zeros((count, goal_embeddings.DIM)),
    is_first=no,
    frame=jnp.zeros((count, specs.FRAME_HEIGHT, specs.PACKED_WIDTH), jnp.uint8),
    ram={
      name: jnp.zeros((count, *sizes[name].shape), sizes[name].dtype)
      for name in row_fields(cfg)
    },
  )


def advance(
  cfg: config_lib.Config, params: Params, player: Player, asked: Asked
) -> tuple[Player, Shown]:
  """Does what `N` players ask for, and nothing else.

  A step that is dreamt and a row that is seen do not know of each other; only
  then may the dream follow. Players are gone through one after another in one
  loop: so each takes what it asks for and no more, and the same whoever plays
  beside.

  Args:
    cfg: the configuration; `policy.reward` names the objective.
    params: world model, and perhaps actor and critic.
    player: what is remembered.
    asked: what is to be done.
  """

  def one(work):
    player, asked = work
    made = _advance_one(cfg, params, _lift(player), asked)
    return jax.tree.map(_alone, made)

  return jax.lax.map(one, (player, asked))


def _lift(tree: Any) -> Any:
  return jax.tree.map(lambda leaf: leaf[None], tree)


def _alone(leaf: jax.Array) -> jax.Array:
  return leaf[0]


def _advance_one(cfg, params, player, asked) -> tuple[Player, Shown]:
  """One player, leaves `[1, ...]`; of what is asked `[...]`."""
  key = jax.random.fold_in(jax.random.key(asked.luck), asked.step)
  prior_key, see_key, choice_key = jax.random.split(key, 3)
  nats = jnp.zeros(1)
  seen, surprise, token_surprise = jax.lax.cond(
    asked.sees,
    lambda: _see(cfg, params, see_key, player, asked),
    lambda: ((player.seen, player.real), nats, nats),
  )
  dream, terms, reward = jax.lax.cond(
    asked.dreams,
    lambda: _dream(cfg, params, prior_key, player, asked),
    lambda: (
      (player.dream, player.progress),
      jnp.zeros_like(player.earned),
      nats,
    ),
  )
  dream = _where(asked.follows, seen, dream)
  player = Player(
    *(dream[0], seen[0], dream[1], seen[1]),
    earned=player.earned + terms,
  )

  def show():
    return _shown(cfg, params, choice_key, player, asked.goal[None])

  shown = jax.lax.cond(asked.shows, show, lambda: _blank(show))
  return player, dataclasses.replace(
    shown,
    terms=terms,
    reward=reward,
    surprise=surprise,
    token_surprise=token_surprise,
  )


def _blank(show: Any) -> Any:
  """Zeros like what a function without arguments returns."""
  return jax.tree.map(
    lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(show)
  )


def _dream(cfg, params, key, player, asked):
  """State and progress after a dreamt step, its terms and its reward."""
  sizes = cfg.world_model.token_sizes
  ahead = imagination.prior_step(
    *(cfg.world_model, params.world, key, player.dream, asked.action[None]),
    most_likely=asked.likely,
  )
  reached = progress_lib.advance(sizes, ahead.tokens, player.progress)
  terms, reward = paid(
    *(cfg, params.world, player.dream, player.progress, player.earned),
    *(ahead, reached),
  )
  return (ahead, reached), terms, reward


def _see(cfg, params, key, player, asked):
  """State and progress after a real row, and its two surprises."""
  model, sizes = cfg.world_model, cfg.world_model.token_sizes
  first = asked.is_first[None]
  batch = {name: value[None, None] for name, value in asked.ram.items()}
  batch |= {
    "frame": asked.frame[None, None],
    "action": asked.action[None, None],
    "first_action_tm1": asked.action[None],
    "is_first": first[None],
  }
  infer = model.infers_tokens
  after = world_model.observe(
    model, params.world, key, batch, player.seen, infer
  )
  state, log_post, log_prior, logits = jax.tree.map(
    lambda leaf: leaf[:, 0],
    (after.state, after.post, after.prior, after.token_logits),
  )
  nats = tokens.cross_entropy(sizes, logits, state.tokens)
  token_surprise = sum(nats.values(), start=jnp.zeros(1))
  before = jax.tree.map(
    lambda leaf: jnp.where(asked.is_first, jnp.zeros_like(leaf), leaf),
    player.real,
  )
  running = asked.ram["game_running"][None] if model.ram == "given" else None
  real = progress_lib.advance(sizes, state.tokens, before, running)
  surprise = world_model.divergence(log_post, log_prior)
  return (state, real), surprise, token_surprise


def paid(
  cfg: config_lib.Config,
  world: world_model.Params,
  dream: world_model.State,
  progress: progress_lib.Progress,
  earned: jax.Array,
  ahead: world_model.State,
  reached: progress_lib.Progress,
) -> tuple[jax.Array, jax.Array]:
  """What `N` dreams are paid on arriving at their next states.

  Args:
    cfg: the configuration; `policy.reward` names the objective.
    world: parameters of the world model.
    dream: states before the step, leaves `[N, ...]`.
    progress: what was reached up to them.
    earned: terms of the episodes so far, `[N, 8]`.
    ahead: the states arrived at.
    reached: progress with them.

  Returns:
    Unweighted terms `[N, 8]`, and the objective's reward `[N]`.
  """
  terms = expected_terms(cfg, world, dream, progress, ahead, reached)
  level = jnp.stack([progress.level, reached.level])
  step = _Step(reward_terms=terms[None], earned=earned, level=level)
  return terms, objectives.rewards(cfg, step)[0]


def expected_terms(
  cfg: config_lib.Config,
  world: world_model.Params,
  dream: world_model.State,
  progress: progress_lib.Progress,
  ahead: world_model.State,
  reached: progress_lib.Progress,
) -> jax.Array:
  """The unweighted terms `[N, 8]` of `paid`, whose arguments these are."""
  sizes = cfg.world_model.token_sizes
  outputs = parts.apply(
    cfg.world_model, world, "reward", world_model.features(ahead)
  )
  predicted = reward_heads.predict(outputs)
  # Where a dream begins is no news, on the title screen neither.
  here = progress_lib.here_flags(sizes, dream.tokens)
  before = dataclasses.replace(progress, visited=progress.visited | here)
  return reward_heads.from_tokens(sizes, predicted, before, reached)


def _shown(cfg, params, key, player, goal) -> Shown:
  model = cfg.world_model
  feat = world_model.features(player.dream)
  cont = parts.apply(model, params.world, "continue", feat)
  inputs = value = None
  odds = jnp.zeros((1, specs.NUM_ACTIONS))
  choice = jnp.full(1, specs.PASS, jnp.int32)
  if params.actor is not None:
    inputs = policy_inputs.read(cfg, player.dream, player.progress, goal)
    logits = actor_critic.actor_logits(cfg.actor_critic, params.actor, inputs)
    odds, choice = jnp.exp(logits), sampling.categorical(key, logits)
  if params.critic is not None and inputs is not None:
    value = two_hot.mean(
      actor_critic.critic_logits(cfg.actor_critic, params.critic, inputs),
      actor_critic.value_bins(cfg.actor_critic),
    )
  heads = world_model.read_ram(model, params.world, player.dream)
  nothing = jnp.zeros(1)
  return Shown(
    frame=world_model.decode(model, params.world, player.dream),
    tokens=_numbers(model.token_sizes, player.dream.tokens),
    heads={name: reading.expected for name, reading in heads.items()},
    terms=jnp.zeros((1, specs.NUM_REWARD_TERMS)),
    reward=nothing,
    cont=jax.nn.sigmoid(cont),
    value=nothing if value is None else value,
    odds=odds,
    choice=choice,
    surprise=nothing,
    token_surprise=nothing,
  )


def _numbers(sizes: Mapping[str, int], hot: jax.Array) -> jax.Array:
  """`tokens.numbers` of one-hots, as one product: it compiles sooner."""
  values = np.zeros((hot.shape[-1], len(sizes)), np.float32)
  for i, place in enumerate(tokens.slices(sizes).values()):
    values[place, i] = np.arange(place.stop - place.start)
  return jnp.round(hot @ values).astype(jnp.int32)


@dataclasses.dataclass
class _Step:
  """`objectives.Steps` of one step."""

  reward_terms: jax.Array  # [1, N, 8]
  earned: jax.Array  # [N, 8]
  level: jax.Array  # [2, N]


def _where(asked: jax.Array, then: Any, otherwise: Any) -> Any:
  return jax.tree.map(lambda a, b: jnp.where(asked, a, b), then, otherwise)


def ram_of(
  cfg: world_model_config.WorldModelConfig, row: Mapping[str, Any]
) -> dict[str, Any]:
  """`row_fields` of a row of step fields."""
  return {name: row[name] for name in row_fields(cfg)}
