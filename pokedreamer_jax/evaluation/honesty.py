"""Whether dreams keep what they promise: the same starts, dreamt and played.

From the same states and under the same policy, dreams and the game go on for
the same number of steps, several times each. A return is undiscounted, in the
weights of the policy's objective; an event is a gain of a reward term, or a new
highest level, within these steps.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import statistics

_TERMS = ("badges", "trainer_wins", "species", "new_maps", "wild_wins")
LEVEL = "level"
KINDS = (*_TERMS, LEVEL)  # of events
_COLUMNS = [specs.REWARD_TERMS.index(name) for name in _TERMS]

# (world_params, actor_params, key, state, earned [N, 8])
# -> returns [N], probability of events [N, K]
DreamFn = Callable[..., tuple[jax.Array, jax.Array]]


def make_dream_fn(
  cfg: config_lib.Config, length: int, samples: int, greedy: bool = False
) -> DreamFn:
  """Makes the jitted function that dreams on from states of play.

  Args:
    cfg: of the policy.
    length: steps of a dream.
    samples: dreams from each state.
    greedy: take the most likely action.

  Returns:
    `(world_params, actor_params, key, state, earned)`, where `state` is an
    `acting.ActState` of `N` players and `earned` the reward terms of their
    episodes so far, `[N, 8]`, gives means over the samples: returns `[N]` and
    the probability that an event of each of `KINDS` happens, `[N, K]`.
  """

  def dream(
    world: Any,
    actor: Any,
    key: jax.Array,
    state: acting.ActState,
    earned: jax.Array,
  ) -> tuple[jax.Array, jax.Array]:
    rollout, going = _dream(
      cfg, length, greedy, world, actor, key, state, earned
    )
    paid = (going * objectives.rewards(cfg, rollout)).sum(axis=0)
    rises = objectives.level_rises(rollout.level)
    gains = jnp.concatenate(
      [rollout.reward_terms[..., jnp.array(_COLUMNS)], rises[..., None]], -1
    )
    chance = jnp.clip(gains, 0.0, 1.0) * going[..., None]
    happens = 1.0 - jnp.prod(1.0 - chance, axis=0)
    return _mean(samples, paid), _mean(samples, happens)

  return _of_each(jax.jit(dream), samples)


def make_goal_dream_fn(
  cfg: config_lib.Config, length: int, samples: int, greedy: bool = False
) -> Callable[..., jax.Array]:
  """As `make_dream_fn`, of policies under goals.

  Returns:
    `(world_params, actor_params, key, state, earned, asked)`, where `state`
    holds the embeddings of the goals that are pursued and `asked` what is
    judged, arrays `[N, SIZE]`, gives the share of the dreams that reach it
    within `length` steps, `[N]`.
  """

  def dream(
    world: Any,
    actor: Any,
    key: jax.Array,
    state: acting.ActState,
    earned: jax.Array,
    asked: jax.Array,
  ) -> jax.Array:
    rollout, going = _dream(
      cfg, length, greedy, world, actor, key, state, earned
    )
    arrived = goals.arrivals(
      cfg.world_model,
      rollout.feat[..., : cfg.world_model.feat_dim],
      rollout.reward_terms,
      rollout.progress.visited,
    )
    chance = going * goals.reached(arrived, asked)
    return _mean(samples, 1.0 - jnp.prod(1.0 - chance, axis=0))

  return _of_each(jax.jit(dream), samples)


def _dream(cfg, length, greedy, world, actor, key, state, earned):
  """A rollout of `N` dreams, and whether each goes on at a step, `[L, N]`."""

  def policy_fn(key: jax.Array, inputs: jax.Array) -> jax.Array:
    logits = actor_critic.actor_logits(cfg.actor_critic, actor, inputs)
    if greedy:
      return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return sampling.categorical(key, logits)

  rollout = imagination.imagine(
    cfg.world_model,
    world,
    key,
    state.model,
    state.progress,
    policy_fn,
    length,
    earned=earned,
    inputs_fn=functools.partial(policy_inputs.read, cfg, goal=state.goal),
  )
  # Whether a dream is still going on when a step is taken.
  before = jnp.concatenate([jnp.ones_like(rollout.cont[:1]), rollout.cont[:-1]])
  return rollout, jnp.cumprod(before, axis=0)


def _of_each(dream: Callable[..., Any], samples: int) -> Callable[..., Any]:
  """`dream` from every state so many times.

  States are repeated before the program: within it, XLA takes more than ten
  minutes to compile what it else compiles in five seconds (great vale, CPU).
  """

  def repeated(world: Any, actor: Any, key: jax.Array, *states: Any) -> Any:
    many = jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, axis=0), states)
    return dream(world, actor, key, *many)

  return repeated


def _mean(samples: int, leaf: jax.Array) -> jax.Array:
  return leaf.reshape(-1, samples, *leaf.shape[1:]).mean(axis=1)


def real_events(terms: np.ndarray, rises: np.ndarray) -> np.ndarray:
  """Which events happen on arriving at rows, `[N, K]` bool.

  Args:
    terms: reward terms of the rows, `[N, 8]`.
    rises: by how many levels the highest rose, `[N]`.
  """
  gains = np.concatenate([terms[:, _COLUMNS], rises[:, None]], axis=1)
  return gains > 0


def agreement(
  dreamt: np.ndarray, real: np.ndarray, groups: np.ndarray, draws: int
) -> dict[str, Any]:
  """Correlation of returns over starts, and their means.

  Args:
    dreamt: `[C, D]`, of `C` starts; each is a mean over dreams.
    real: `[C, R]`, each played once.
    groups: `[C]`, the episode of each; intervals are over episodes.
    draws: bootstrap resamples.

  Returns:
    `correlation` of the means over `D` and `R` with its interval, None where
    returns do not differ; `other_luck`, that of one half of the real ones with
    the other, which no dream can be expected to pass by far, None of one;
    `dreamt` and `real`, means over the starts.
  """
  half = real.shape[1] // 2
  imagined, paid = dreamt.mean(axis=1), real.mean(axis=1)
  halves = real[:, :half].sum(axis=1), real[:, half : 2 * half].sum(axis=1)
  return {
    "correlation": correlation(imagined, paid, groups, draws),
    "other_luck": _correlation(*halves) if half else None,
    "dreamt": float(imagined.mean()),
    "real": float(paid.mean()),
  }


def event_agreement(dreamt: np.ndarray, real: np.ndarray) -> dict[str, Any]:
  """How events that dreams foresee are those that happen.

  A start from which dreams bring about an event in a share `d` of the cases and
  the game in a share `r` counts `d r` of what was foreseen and came.

  Args:
    dreamt: probabilities `[C, R]` of one kind of event.
    real: whether it happened, `[C, R]`.

  Returns:
    `precision`, that part of all that was dreamt; `recall`, of all that
    happened; `other_luck`, of what happened in one play what happened in
    another of the same start, so what a perfect model has for both; `dreamt`
    and `real`, shares of the starts. None where nothing was or came.
  """
  happened = real.astype(float)
  d, r = dreamt.mean(axis=1), happened.mean(axis=1)
  plays = real.shape[1]
  both = (happened.sum(axis=1) ** 2 - happened.sum(axis=1)) / (plays - 1)
  return {
    "precision": _share((d * r).sum(), d.sum()),
    "recall": _share((d * r).sum(), r.sum()),
    "other_luck": _share(both.sum(), happened.sum()),
    "dreamt": float(d.mean()),
    "real": float(r.mean()),
  }


def realised(
  dreamt: np.ndarray, real: np.ndarray, groups: np.ndarray, draws: int
) -> dict[str, Any]:
  """How much of what a policy gains in dreams it gains in the game.

  Args:
    dreamt: `[C]`, its return less that of another policy, from each start.
    real: `[C]`, the same in the game.
    groups: `[C]`, the episode of each.
    draws: bootstrap resamples.

  Returns:
    `dreamt` and `real` gains with their intervals, and `ratio` of the means;
    None where dreams gain nothing.
  """

  def ratio(at: np.ndarray) -> float | None:
    return _share(real[at].mean(), dreamt[at].mean())

  return {
    "dreamt": statistics.bootstrap_mean(dreamt, draws, groups=groups),
    "real": statistics.bootstrap_mean(real, draws, groups=groups),
    "ratio": statistics.bootstrap(ratio, groups, draws),
  }


def correlation(
  dreamt: np.ndarray, real: np.ndarray, groups: np.ndarray, draws: int
) -> dict[str, float] | None:
  """Of what is dreamt `[C]` with what is so `[C]`, with its interval."""
  return statistics.bootstrap(
    lambda at: _correlation(dreamt[at], real[at]), groups, draws
  )


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
  if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
    return None
  return float(np.corrcoef(a, b)[0, 1])


def _share(part: float, whole: float) -> float | None:
  return float(part / whole) if whole > 1e-9 else None
