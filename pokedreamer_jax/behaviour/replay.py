"""The critic on what was really played: recorded sequences beside dreams.

A dream is 15 steps long and a badge a few hundred away, so that values of
dreams alone travel slowly. As in DreamerV3 (Hafner et al. 2023, "critic
learning") the critic is trained on recorded sequences as well: lambda-returns
of their real rewards, bootstrapped from the critic itself.

Sequences were not played by the policy that is judged. Where chance chose an
action nothing beyond the next state is believed (lambda is 0); along what a
demonstrator, a human or a policy played, lambda is as in dreams.
"""

from typing import Any

import chex
from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import latents as latents_lib
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib

# Whose choices are followed beyond the next state.
_MEANT = ("demonstrator", "human", "policy")


@struct.dataclass
class Sequences:
  """`N` recorded sequences of `L` steps; time first, as dreams."""

  feat: jax.Array  # [L + 1, N, F], what the critic reads
  reward_terms: jax.Array  # [L, N, 8] on arriving at states 1..L
  earned: jax.Array  # [N, 8] terms of the episode up to state 0
  level: jax.Array  # [L + 1, N] the highest up to each state
  cont: jax.Array  # [L, N] 0 where states 1..L are terminal, else 1
  trace: jax.Array  # [L, N] share of lambda that holds behind states 1..L
  weight: jax.Array  # [L, N] 1 where state l is followed by l + 1, else 0


@struct.dataclass
class Windows:
  """Rows of `N` recorded sequences of `L` steps, and what lies between them."""

  seen: latents_lib.Latents  # [L + 1, N]
  state: world_model.State  # [L + 1, N]
  progress: progress_lib.Progress  # [L + 1, N]
  reward_terms: jax.Array  # [L, N, 8] on arriving at rows 1..L
  cont: jax.Array  # [L, N] 0 where rows 1..L are terminal, else 1
  follows: jax.Array  # [L, N] bool, whether a step leads from row l to l + 1


def windows(
  cfg: world_model_config.WorldModelConfig,
  key: jax.Array,
  rows: latents_lib.Latents,
  count: int,
  length: int,
) -> Windows:
  """Draws `count` sequences of `length` steps; `rows` are as in `draw`."""
  first = jax.random.randint(key, (count,), 0, len(rows.action) - length)
  index = first[None] + jnp.arange(length + 1)[:, None]
  return between(cfg, latents_lib.take(rows, index))


def between(
  cfg: world_model_config.WorldModelConfig, seen: latents_lib.Latents
) -> Windows:
  """What lies between the rows `[L + 1, N]` of sequences."""
  state = latents_lib.unpack(cfg, seen)
  ends = seen.is_last | seen.is_terminal
  follows = ~(ends[:-1] | seen.is_first[1:])
  terms = seen.reward_terms[1:] - seen.reward_terms[:-1]
  return Windows(
    seen=seen,
    state=state,
    progress=latents_lib.progress(cfg, seen, state),
    reward_terms=jnp.where(follows[..., None], terms, 0.0),
    cont=1.0 - seen.is_terminal[1:].astype(jnp.float32),
    follows=follows,
  )


def draw(
  cfg: config_lib.Config, key: jax.Array, rows: latents_lib.Latents
) -> Sequences:
  """Draws `policy.starts` sequences of `policy.horizon` steps.

  Args:
    cfg: sizes.
    key: typed PRNG key; consumed.
    rows: `[M]` of whole episodes, in order, of `latents.with_earned`.

  Returns:
    Sequences that may run over the end of an episode into the next one; what
    belongs to no step of one episode has the weight 0 and no trace.

  Raises:
    ValueError: fewer rows than a sequence takes.
  """
  length, count = cfg.policy.horizon, cfg.policy.starts
  if len(rows.action) <= length:
    raise ValueError(
      f"policy.replay_scale: {cfg.policy.replay_scale}, {len(rows.action)} "
      f"recorded rows hold no sequence of {length + 1} (policy.horizon + 1), "
      "expected 0"
    )
  drawn = windows(cfg.world_model, key, rows, count, length)
  meant = jnp.isin(
    drawn.seen.behaviour,
    jnp.array([specs.BEHAVIOURS.index(n) for n in _MEANT]),
  )
  # Behind state l + 1 its own step is followed, if there is one.
  follows = drawn.follows
  further = jnp.concatenate([follows[1:], jnp.zeros_like(follows[:1])])
  return Sequences(
    feat=policy_inputs.read(cfg, drawn.state, drawn.progress),
    reward_terms=drawn.reward_terms,
    earned=drawn.seen.reward_terms[0],
    level=drawn.progress.level,
    cont=drawn.cont,
    trace=(further & meant[1:]).astype(jnp.float32),
    weight=follows.astype(jnp.float32),
  )


def returns(
  sequences: Sequences,
  value: jax.Array,
  reward: jax.Array,
  gamma: float,
  lambda_: float,
) -> jax.Array:
  """Lambda-returns `[L, N]` of states 0..L-1.

  `V_l = r_{l+1} + gamma c_{l+1} ((1 - k) v_{l+1} + k V_{l+1})` with
  `k = lambda trace_{l+1}`: where a trace ends, the critic's own value stands.

  Args:
    sequences: what was played.
    value: of the critic, `[L + 1, N]`.
    reward: `[L, N]` on arriving at states 1..L.
    gamma: discount of a step.
    lambda_: share that a trace passes on.
  """
  chex.assert_equal_shape([value[1:], reward, sequences.cont])

  def step(return_t: jax.Array, inputs: Any):
    reward_t, cont, trace, value_t = inputs
    share = lambda_ * trace
    target = (1.0 - share) * value_t + share * return_t
    return_tm1 = reward_t + gamma * cont * target
    return return_tm1, return_tm1

  inputs = (reward, sequences.cont, sequences.trace, value[1:])
  return jax.lax.scan(step, value[-1], inputs, reverse=True)[1]
