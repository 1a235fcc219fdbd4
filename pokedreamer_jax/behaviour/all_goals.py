"""Values of all goals at once, learned from recorded rows without dreams.

`Q(s, a) [K]` is how soon each goal is reached from a state after an action:
`gamma^(n - 1)` where the nth step from there is the first to reach it, 0 where
none is. One recorded step teaches every goal, whichever was pursued (LEO,
Matthews et al. 2026, arXiv 2605.23551): with `success` of the step that arrives
at `s'`, 1 or 0 and for won battles of dreams a probability,

  target = success + (1 - success) gamma c V(s')

where `c` is 0 at a terminal row. Recorded rows hold few of the actions of a
state, and a maximum over all of them would believe what nobody tried: `V(s)` is
an expectile of `Q` of logged actions (IQL, Kostrikov et al. 2021, eq. 5), which
goes from what was played (0.5) to the best of it (1). What luck did stays a
mean: it is in `Q`, behind the action.

Both are learned by cross-entropy. That of `V` is weighted by `|tau - 1(Q < V)|`
as the squared error of the paper is: both are least where the weighted sum of
`Q - V` is 0, and this one has a slope where a sigmoid is flat.

Shapes: `K` goals, `A` actions, sequences `[L, N]` as in `replay.py`.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol

import chex
from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from pokedreamer_jax.behaviour import cloning
from pokedreamer_jax.behaviour import critics
from pokedreamer_jax.behaviour import goals as goals_lib
from pokedreamer_jax.behaviour import latents as latents_lib
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.behaviour import replay
from pokedreamer_jax.behaviour import returns
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import goal_heads
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import progress as progress_lib

Metrics = dict[str, jax.Array]


@struct.dataclass
class Steps:
  """What recorded steps did; state `l` is where step `l` begins."""

  inputs: jax.Array  # [L + 1, N, F + P]
  action: jax.Array  # [L, N] integer, taken from states 0..L-1
  success: jax.Array  # [L, N, K] whether arriving at states 1..L reaches goals
  cont: jax.Array  # [L, N] 0 where states 1..L are terminal, else 1
  weight: jax.Array  # [L, N] 1 where there is such a step, else 0


@struct.dataclass
class State:
  """What an update reads and returns; the caller may donate it."""

  params: Any
  slow: Any  # parameters that targets, and who asks for values, read
  opt_state: Any
  step: jax.Array  # [] int32, updates done


class DrawFn(Protocol):
  """Draws recorded steps and judges them by goals `[K, SIZE]`."""

  def __call__(self, key: jax.Array, rows: Any, goals: jax.Array) -> Steps: ...


def inputs_size(cfg: config_lib.Config) -> int:
  """`F + P`: features, and progress where policies read it; never a goal."""
  if not cfg.actor_critic.reads_progress:
    return cfg.world_model.feat_dim
  sizes = cfg.world_model.token_sizes
  return cfg.world_model.feat_dim + progress_lib.num_features(sizes)


def read(
  cfg: config_lib.Config,
  state: world_model.State,
  progress: progress_lib.Progress,
) -> jax.Array:
  """Inputs `[..., F + P]` of states and progress."""
  return policy_inputs.read(cfg, state, progress)[..., : inputs_size(cfg)]


def make_draw_fn(cfg: config_lib.Config) -> DrawFn:
  """Makes the `DrawFn` for rows `[M]` of `latents.with_earned`.

  `all_goals.batch_size` sequences of `all_goals.length` steps.
  """

  def draw(key: jax.Array, rows: Any, goals: jax.Array) -> Steps:
    length, count = cfg.all_goals.length, cfg.all_goals.batch_size
    if len(rows.action) <= length:
      raise ValueError(
        f"all_goals.length: {length}, {len(rows.action)} recorded rows hold no "
        f"sequence of {length + 1}, expected at most {len(rows.action) - 1}"
      )
    drawn = replay.windows(cfg.world_model, key, rows, count, length)
    return Steps(
      inputs=read(cfg, drawn.state, drawn.progress),
      action=drawn.seen.action[:-1].astype(jnp.int32),
      success=_success(cfg, drawn, goals),
      cont=drawn.cont,
      weight=drawn.follows.astype(jnp.float32),
    )

  return draw


def _success(
  cfg: config_lib.Config, drawn: replay.Windows, goals: jax.Array
) -> jax.Array:
  """`[L, N, K]`, 0 where no step leads to a row."""
  arrived = goals_lib.arrivals(
    cfg.world_model,
    world_model.features(drawn.state),
    drawn.reward_terms,
    drawn.progress.visited,
  )
  reached = goals_lib.reached_all(arrived, goals)
  return jnp.where(drawn.follows[..., None], reached, 0.0)


def judge_rows(
  cfg: config_lib.Config, rows: latents_lib.Latents, goals: jax.Array
) -> jax.Array:
  """Whether the steps that arrive at rows 1..L of `rows` `[L + 1]` reach goals.

  Returns:
    `[L, K]`, 0 where a row begins an episode.
  """
  line = jax.tree.map(lambda leaf: leaf[:, None], rows)
  drawn = replay.between(cfg.world_model, line)
  return _success(cfg, drawn, goals)[:, 0]


def loss(
  cfg: config_lib.Config,
  params: Any,
  slow: Any,
  steps: Steps,
  inputs: jax.Array,
  tau: jax.Array | float,
) -> tuple[jax.Array, Metrics]:
  """Mean over goals and steps of both cross-entropies.

  Args:
    cfg: the configuration.
    params: of the network that learns.
    slow: of the one that targets are read from.
    steps: `[L, N]`.
    inputs: `[L, N, F + P]`, those of states 0..L-1 as the learner sees them.
    tau: the expectile, of `expectile_at`.

  Returns:
    The loss `[]`, nats, and metrics.
  """
  chex.assert_equal_shape_prefix([inputs, steps.action, steps.success], 2)
  slow_q, slow_v = jax.tree.map(
    jax.nn.sigmoid, _logits(cfg, slow, steps.inputs)
  )
  going = cfg.all_goals.gamma * steps.cont[..., None]
  target = steps.success + (1.0 - steps.success) * going * slow_v[1:]
  followed = _of_action(slow_q[:-1], steps.action)
  target, followed = jax.lax.stop_gradient((target, followed))
  q_logits, v_logits = _logits(cfg, params, inputs)
  cross_entropy = optax.sigmoid_binary_cross_entropy
  q_loss = cross_entropy(_of_action(q_logits, steps.action), target)
  v = jax.lax.stop_gradient(jax.nn.sigmoid(v_logits))
  lean = jnp.where(followed < v, 1.0 - tau, tau)
  v_loss = lean * cross_entropy(v_logits, followed)
  chex.assert_equal_shape([q_loss, v_loss, steps.success])
  mean = lambda x: returns.weighted_mean(jnp.mean(x, axis=-1), steps.weight)
  total = mean(q_loss) + mean(v_loss)
  return total, {
    "loss/q": mean(q_loss),
    "loss/v": mean(v_loss),
    "values/v": mean(v),
    "values/q": mean(followed),
    "values/success": mean(steps.success),
  }


def expectile_at(cfg: config_lib.Config, step: jax.Array) -> jax.Array:
  """`[]`, linear from 0.5 to `expectile` over the first updates."""
  ramp = cfg.all_goals.expectile_ramp
  share = jnp.minimum(step / ramp, 1.0) if ramp else jnp.ones(())
  return 0.5 + share * (cfg.all_goals.expectile - 0.5)


def make_optimiser(cfg: config_lib.Config) -> optax.GradientTransformation:
  """Adam, gradients clipped by norm."""
  return optax.chain(
    optax.clip_by_global_norm(cfg.all_goals.max_grad_norm),
    optax.adam(cfg.all_goals.learning_rate),
  )


def init_state(cfg: config_lib.Config, key: jax.Array, num_goals: int) -> State:
  """Values before the first update: every goal is far."""
  network = goal_heads.GoalHeads(num_goals, cfg.all_goals.units)
  params = goal_heads.init(network, key, inputs_size(cfg))
  return State(
    params=params,
    slow=jax.tree.map(jnp.copy, params),
    opt_state=make_optimiser(cfg).init(params),
    step=jnp.zeros((), jnp.int32),
  )


def make_update(
  cfg: config_lib.Config, draw_fn: DrawFn
) -> Callable[..., tuple[State, Metrics]]:
  """Makes `(state, key, rows, goals) -> (state, metrics)`.

  The caller jits it once and may donate `state`. `key` is the run's key: the
  update's own number is folded in, so a resumed run repeats. Goals `[K, SIZE]`
  are an argument: others of the same number trace nothing anew.
  """
  optimiser = make_optimiser(cfg)

  def update(state, key, rows, goals):
    key = jax.random.fold_in(key, state.step)
    draw_key, dropout_key = jax.random.split(key)
    steps = draw_fn(draw_key, rows, goals)
    inputs = cloning.drop_features(
      dropout_key, steps.inputs[:-1], cfg.all_goals.dropout
    )
    tau = expectile_at(cfg, state.step)
    grads, metrics = jax.grad(loss, argnums=1, has_aux=True)(
      cfg, state.params, state.slow, steps, inputs, tau
    )
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    slow = critics.follow(state.slow, params, cfg.all_goals.slow_rate)
    metrics["grad/norm"] = optax.tree.norm(grads)
    metrics["param/norm"] = optax.tree.norm(params)
    return State(params, slow, opt_state, state.step + 1), metrics

  return update


def values(cfg: config_lib.Config, params: Any, inputs: jax.Array) -> jax.Array:
  """`V` `[..., K]` of states, in [0, 1].

  Args:
    cfg: the configuration.
    params: of `State.slow`.
    inputs: `[..., F + P]`, or what policies read: a goal behind it is left out.
  """
  return jax.nn.sigmoid(_logits(cfg, params, inputs)[1])


def q_values(
  cfg: config_lib.Config, params: Any, inputs: jax.Array
) -> jax.Array:
  """`Q` `[..., K, A]` of states and actions; arguments as of `values`."""
  return jax.nn.sigmoid(_logits(cfg, params, inputs)[0])


def bootstrap(
  cfg: config_lib.Config, params: Any, number: jax.Array, inputs: jax.Array
) -> jax.Array:
  """`V` `[N]` of each state's own goal.

  Args:
    cfg: the configuration.
    params: of `State.slow`.
    number: `[N]`, which of the `K` goals; below 0 is none of them.
    inputs: `[N, F + P]`, as of `values`.

  Returns:
    `[N]`; NaN for a goal that was not learned.
  """
  chex.assert_equal_shape_prefix([number, inputs], 1)
  every = values(cfg, params, inputs)
  own = jnp.take_along_axis(every, jnp.maximum(number, 0)[:, None], axis=-1)
  return jnp.where(number < 0, jnp.nan, own[:, 0])


def numbers_of(goals: np.ndarray, learned: np.ndarray) -> np.ndarray:
  """Where each of `goals` `[T, SIZE]` stands in `learned` `[K, SIZE]`.

  Returns:
    `[T]` int32, for `bootstrap`; -1 where it is not among them.
  """
  places = {tuple(row): i for i, row in enumerate(np.asarray(learned).tolist())}
  found = [places.get(tuple(row), -1) for row in np.asarray(goals).tolist()]
  return np.array(found, np.int32)


def steps_to(cfg: config_lib.Config, value: jax.Array) -> jax.Array:
  """Steps to a goal that values `[...]` stand for: 1 at 1, inf at 0.

  Where a goal is reached by luck alone a value is a mean over luck, and this is
  no mean of steps.
  """
  return 1.0 + jnp.log(value) / jnp.log(cfg.all_goals.gamma)


def reachable(
  cfg: config_lib.Config, value: jax.Array, within_steps: float
) -> jax.Array:
  """Whether goals of values `[...]` are no more than so many steps away."""
  return steps_to(cfg, value) <= within_steps


def _logits(
  cfg: config_lib.Config, params: Any, inputs: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Logits `[..., K, A]` and `[..., K]` in float32."""
  num_goals = params["states"]["bias"].shape[0]
  network = goal_heads.GoalHeads(num_goals, cfg.all_goals.units)
  inputs = inputs[..., : inputs_size(cfg)]
  q_logits, v_logits = network.apply({"params": params}, inputs)
  return jnp.asarray(q_logits), jnp.asarray(v_logits)


def _of_action(q: jax.Array, action: jax.Array) -> jax.Array:
  """`[..., K]`, of `[..., K, A]` what belongs to actions `[...]`."""
  # Not gathered: on a CPU that, and its gradient, would be one by one.
  chosen = jax.nn.one_hot(action, q.shape[-1], dtype=q.dtype)
  return jnp.sum(q * chosen[..., None, :], axis=-1)
