"""Dreams of recorded windows, and what is observed of them.

A window has `context` rows that the model observes, then `horizon` rows that
it imagines with the recorded actions. Open-loop step `k` is the row `k` after
the last observed one. What the device does for it stands in `device`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import jax
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import device
from pokedreamer_jax.world_model import alignment
from pokedreamer_jax.world_model import model as world_model

STEPS = (1, 5, 15, 50)  # open-loop steps that tables show


@dataclasses.dataclass
class Dreams:
  """Frames and positions of `W` windows over `H` open-loop steps."""

  frame: np.ndarray  # [W, H, 144, 40] uint8
  place: np.ndarray | None  # [W, H, 3] int: map, y, x; None without tokens
  # Places at every open-loop step, also those whose frames are left out.
  path: np.ndarray | None = None


@dataclasses.dataclass
class Observed:
  """What observing recorded rows gives, on the host; `[W, R]` rows."""

  state: world_model.State  # leaves [W, R, ...]
  guess: np.ndarray  # [W, R, M] int32, tokens guessed from the frames
  kl: np.ndarray  # [W, R] nats, posterior from prior


def reported_steps(horizon: int) -> list[int]:
  """Open-loop steps that tables show, up to the horizon."""
  return [k for k in STEPS if k <= horizon]


def at_steps(made: Dreams, steps: Sequence[int]) -> Dreams:
  """Some open-loop steps of dreams of every step; the path stays whole."""
  rows = [step - 1 for step in steps]
  place = None if made.place is None else made.place[:, rows]
  return Dreams(frame=made.frame[:, rows], place=place, path=made.place)


def open_loop(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  action: np.ndarray | None = None,
  most_likely: bool = False,
  infer: bool = False,
  steps: Sequence[int] | None = None,
) -> Dreams:
  """Dreams of all windows from their last context row.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    windows: fields `[W, T, ...]` and `first_action_tm1` `[W]`.
    context: rows observed.
    action: `[W, T]`, actions to dream under, if not the recorded ones; the
      context is observed with its own actions all the same.
    most_likely: take the most likely tokens and latents.
    infer: guess the context's tokens from frames instead of reading RAM.
    steps: open-loop steps to decode, from 1; all `T - context` if None.

  Returns:
    `Dreams` of those `H` steps.
  """
  rows = _rows(steps)

  def run(params, key, batch):
    observe_key, dream_key = jax.random.split(key)
    seen = {k: v[:, :context] for k, v in batch.items() if v.ndim > 1}
    seen["first_action_tm1"] = batch["first_action_tm1"]
    start = device.select(
      device.observe(cfg, params, observe_key, seen, infer)[0], -1
    )
    ahead = alignment.dream_actions(cfg, batch["action"][:, context - 1 :])
    return device.dream(cfg, params, dream_key, start, ahead, most_likely, rows)

  recorded = windows["action"]
  if action is None:
    action = recorded
  else:  # the first other action is the one that leads into the dream
    first = context - 1 + alignment.dream_shift(cfg)
    own, other = recorded[:, :first], action[:, first:]
    action = np.concatenate([own, other], axis=1)
  made = _in_batches(run, cfg, params, key, windows, action)
  return _at_rows(made, rows)


def posterior(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  infer: bool = False,
  steps: Sequence[int] | None = None,
) -> Dreams:
  """Reconstruction of the same rows when the model sees them: the floor."""
  rows = _rows(steps)

  def run(params, key, batch):
    state = device.observe(cfg, params, key, batch, infer)[0]
    return device.look(
      cfg, params, device.select(state, slice(context, None)), rows
    )

  made = _in_batches(run, cfg, params, key, windows, windows["action"])
  return _at_rows(made, rows)


def one_step(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  infer: bool = False,
  most_likely: bool = False,
) -> Dreams:
  """Each row imagined one step ahead from the posterior of the row before."""

  def run(params, key, batch):
    observe_key, prior_key = jax.random.split(key)
    state = device.observe(cfg, params, observe_key, batch, infer)[0]
    before = device.select(state, slice(context - 1, -1))
    ahead = alignment.dream_actions(cfg, batch["action"][:, context - 1 :])
    state = device.step_ahead(
      cfg, params, prior_key, before, ahead, most_likely
    )
    return device.look(cfg, params, state, None)

  return _in_batches(run, cfg, params, key, windows, windows["action"])


def one_step_told(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  infer: bool = False,
) -> Dreams:
  """`one_step` with the recorded tokens told; the frame is imagined."""

  def run(params, key, batch):
    state = device.observe(cfg, params, key, batch, infer)[0]
    before = device.select(state, slice(context - 1, -1))
    ahead = alignment.dream_actions(cfg, batch["action"][:, context - 1 :])
    later = {k: v[:, context:] for k, v in batch.items() if v.ndim > 1}
    hot = world_model.read_tokens(cfg, params, later)
    made = device.step_told(cfg, params, before, ahead, hot)
    return device.look(cfg, params, made, None)

  return _in_batches(run, cfg, params, key, windows, windows["action"])


def states(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  infer: bool = False,
) -> tuple[world_model.State, world_model.State]:
  """States `[W, H, ...]` of the rows after the context; nothing is decoded.

  Returns:
    The posterior's, and those imagined one step ahead of the row before.
  """

  def run(params, key, batch):
    observe_key, prior_key = jax.random.split(key)
    state = device.observe(cfg, params, observe_key, batch, infer)[0]
    before = device.select(state, slice(context - 1, -1))
    ahead = alignment.dream_actions(cfg, batch["action"][:, context - 1 :])
    made = device.step_ahead(cfg, params, prior_key, before, ahead)
    return device.select(state, slice(context, None)), made

  fields = _fields(windows, windows["action"])
  return device.each_batch(cfg, run, params, key, fields)


def observed(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  rows: Sequence[int],
  infer: bool = False,
  start: world_model.State | None = None,
) -> Observed:
  """Posterior of some rows of windows whose rows are all seen.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    windows: fields `[W, T, ...]` and `first_action_tm1` `[W]`.
    rows: which of the `T` rows to return; negative ones count from the end.
    infer: guess tokens from frames instead of reading RAM.
    start: state before the first row, leaves `[W, ...]`; initial if None.
  """
  fields = _fields(windows, windows["action"])
  if start is None:
    start = world_model.initial_state(cfg, fields["first_action_tm1"].shape)
  index = np.array(rows)

  def run(params, key, inputs):
    batch, before = inputs
    found = device.observe(cfg, params, key, batch, infer, before)
    return device.select(found, index)

  state, guess, kl = device.each_batch(cfg, run, params, key, (fields, start))
  return Observed(state=state, guess=guess, kl=kl)


def decode(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  states: world_model.State,
) -> np.ndarray:
  """Frames `[W, R, 144, 40]` of states with leaves `[W, R, ...]`."""

  def run(params, key, state):
    del key
    return device.frames(cfg, params, state, None)

  return device.each_batch(cfg, run, params, jax.random.key(0), states)


def dream_from(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  start: world_model.State,
  action: np.ndarray,
  steps: Sequence[int],
  most_likely: bool = False,
) -> Dreams:
  """Open loop from given states.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    start: leaves `[N, ...]`.
    action: `[N, H]`; the first one is taken in the start state.
    steps: open-loop steps to decode, from 1 to `H`.
    most_likely: take the most likely tokens and latents.
  """
  rows = _rows(steps)

  def run(params, key, batch):
    begin, ahead = batch
    return device.dream(cfg, params, key, begin, ahead, most_likely, rows)

  frame, place = device.each_batch(cfg, run, params, key, (start, action))
  made = Dreams(frame, place if device.has_places(cfg) else None)
  return _at_rows(made, rows)


def guessed_places(
  cfg: world_model_config.WorldModelConfig, seen: Observed
) -> np.ndarray:
  """Places `[W, R, 3]` that the posterior's head reads off the frames."""
  names = list(cfg.token_sizes)
  return seen.guess[..., [names.index(name) for name in ("map", "y", "x")]]


def _fields(
  windows: Mapping[str, np.ndarray], action: np.ndarray
) -> dict[str, np.ndarray]:
  """What the device reads of windows."""
  names = (*(f.name for f in specs.RAM_FIELDS), "frame", "is_first")
  fields = {name: windows[name] for name in names}
  tm1 = windows["first_action_tm1"]
  return fields | {"action": action, "first_action_tm1": tm1}


def _in_batches(run, cfg, params, key, windows, action) -> Dreams:
  frame, place = device.each_batch(
    cfg, run, params, key, _fields(windows, action)
  )
  return Dreams(frame, place if device.has_places(cfg) else None)


def _rows(steps: Sequence[int] | None) -> tuple[int, ...] | None:
  return None if steps is None else tuple(step - 1 for step in steps)


def _at_rows(made: Dreams, rows: tuple[int, ...] | None) -> Dreams:
  """The places of the decoded rows, beside those of all."""
  place = made.place
  if place is not None and rows is not None:
    place = place[:, list(rows)]
  return Dreams(frame=made.frame, place=place, path=made.place)
