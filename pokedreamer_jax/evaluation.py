"""How good the dreams are: open-loop error on held-out windows.

A window has `context` rows that the model observes, then `horizon` rows that
it imagines with the recorded actions. Open-loop step `k` is the row `k` after
the last observed one. Every number stands beside reference lines: the
posterior's own reconstruction (floor), the last observed frame repeated
(frozen), the same dream under another window's actions (shuffled), and a
random walker for positions. Device work is batched; scores are numpy.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import config as config_lib
from pokedreamer_jax import imagination
from pokedreamer_jax import specs
from pokedreamer_jax import statistics
from pokedreamer_jax import tokens
from pokedreamer_jax import world_model

STEPS = (1, 5, 15, 50)  # open-loop steps that tables show
WRONG_MAP_TILES = 20.0  # position error that a wrong map counts as
_BATCH = 50  # windows on the device at a time
_LOOKUP = np.array([bin(i).count("1") for i in range(256)], np.uint8)


@dataclasses.dataclass
class Dreams:
  """Frames and positions of `W` windows over `H` open-loop steps."""

  frame: np.ndarray  # [W, H, 144, 40] uint8
  place: np.ndarray | None  # [W, H, 3] int: map, y, x; None without tokens


def pixel_accuracy(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Share of equal pixels `[...]` of packed frames `[..., 144, 40]`."""
  wrong = frame ^ truth
  # A pixel is wrong if either of its two bits differs.
  pixel_bits = (wrong | (wrong >> 1)) & 0x55
  count = np.sum(_LOOKUP[pixel_bits], axis=(-2, -1), dtype=np.int64)
  wrong_share = count / (specs.FRAME_HEIGHT * specs.FRAME_WIDTH)
  return np.asarray(1.0 - wrong_share)


def exact(frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """1.0 `[...]` where every pixel is equal."""
  return np.all(frame == truth, axis=(-2, -1)).astype(np.float64)


def psnr(
  frame: np.ndarray, truth: np.ndarray, cap_db: float = 60.0
) -> np.ndarray:
  """Peak signal-to-noise ratio `[...]` in dB of the grey levels, capped."""
  greys = np.array([255, 153, 85, 0], np.float32)
  lut = greys[(np.arange(256)[:, None] >> np.arange(0, 8, 2)) & 3]  # [256, 4]
  squares = np.square(lut[:, None] - lut[None]).sum(-1)  # [256, 256]
  error = squares[frame, truth].sum(axis=(-2, -1))
  mean = error / (specs.FRAME_HEIGHT * specs.FRAME_WIDTH)
  with np.errstate(divide="ignore"):
    decibel = 10.0 * np.log10(255.0**2 / mean)
  return np.minimum(decibel, cap_db)


def tile_error(place: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Manhattan distance `[...]` in tiles of `[..., 3]` places (map, y, x).

  A wrong map counts `WRONG_MAP_TILES`.
  """
  place, truth = place.astype(np.int64), truth.astype(np.int64)
  distance = np.abs(place[..., 1:] - truth[..., 1:]).sum(-1)
  right_map = place[..., 0] == truth[..., 0]
  return np.where(right_map, distance, WRONG_MAP_TILES)


def recorded_places(windows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Places `[W, T, 3]` (map, y, x) that the records hold."""
  return np.stack([windows[name] for name in ("map_id", "y", "x")], axis=-1)


def open_loop(
  cfg: config_lib.WorldModelConfig,
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
  run = _open_loop_fn(cfg, context, most_likely, infer, _rows(steps))
  recorded = windows["action"]
  if action is None:
    action = recorded
  else:  # the first other action is the one that leads into the dream
    first = context - 1 + world_model.dream_shift(cfg)
    own, other = recorded[:, :first], action[:, first:]
    action = np.concatenate([own, other], axis=1)
  return _in_batches(run, cfg, params, key, windows, action)


def posterior(
  cfg: config_lib.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  infer: bool = False,
  steps: Sequence[int] | None = None,
) -> Dreams:
  """Reconstruction of the same rows when the model sees them: the floor."""
  run = _posterior_fn(cfg, context, infer, _rows(steps))
  return _in_batches(run, cfg, params, key, windows, windows["action"])


def one_step(
  cfg: config_lib.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  context: int,
  infer: bool = False,
) -> Dreams:
  """Each row imagined one step ahead from the posterior of the row before."""
  run = _one_step_fn(cfg, context, infer)
  return _in_batches(run, cfg, params, key, windows, windows["action"])


def report(
  cfg: config_lib.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  windows: Mapping[str, np.ndarray],
  evaluate: config_lib.EvaluateConfig,
  infer: bool = False,
  ceiling: Dreams | None = None,
  groups: np.ndarray | None = None,
) -> dict[str, Any]:
  """Fidelity and drift tables with their reference lines.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    windows: held-out windows `[W, context + horizon, ...]`.
    evaluate: context, horizon and resamples.
    infer: guess the tokens of observed rows from frames, in every line.
    ceiling: the same windows played by the emulator with other luck, at
      `reported_steps`: how close chance lets anything come.
    groups: `[W]` integer, the episode of each window: windows of one episode
      are alike, so intervals are over episodes and shuffled actions come from
      another one. None: every window by itself.

  Returns:
    JSON-ready: `lines[name][step][metric]` means, `comparisons`, `one_step`,
    `windows`, `map_majority`.
  """
  context = evaluate.context
  count, total = windows["action"].shape
  steps = reported_steps(total - context)
  rows = [context + k - 1 for k in steps]  # rows of those open-loop steps
  truth = np.asarray(windows["frame"][:, rows])
  places = recorded_places(windows) if has_places(cfg) else None
  if groups is None:
    groups = np.arange(count)
  shuffled = windows["action"][others(groups)]
  keys = jax.random.split(key, 5)
  dream = functools.partial(
    open_loop, cfg, params, windows=windows, context=context, infer=infer
  )
  dreams = {
    "dream (sampled)": dream(key=keys[0], steps=steps),
    "dream (most likely)": dream(key=keys[1], steps=steps, most_likely=True),
    "shuffled actions": dream(key=keys[2], steps=steps, action=shuffled),
    "floor (posterior)": posterior(
      cfg, params, keys[3], windows, context, infer, steps
    ),
    "frozen frame": _frozen(windows, context, steps),
  }
  if ceiling is not None:
    dreams["emulator, other luck"] = ceiling
  scores = {
    name: _scores(made, truth, None if places is None else places[:, rows])
    for name, made in dreams.items()
  }
  result: dict[str, Any] = {"windows": count, "context": context}
  if places is not None:
    walk = _random_walk(places, context, steps, np.random.default_rng(0))
    scores["random walk"] = {"tiles": tile_error(walk, places[:, rows])}
    maps = places[:, context:, 0].reshape(-1)
    result["map_majority"] = float(np.bincount(maps).max() / len(maps))
  result["lines"] = {
    name: {
      str(k): {metric: float(v[:, i].mean()) for metric, v in score.items()}
      for i, k in enumerate(steps)
    }
    for name, score in scores.items()
  }
  result["comparisons"] = _compare(scores, steps, evaluate.bootstrap, groups)
  few = _thinned(windows, _BATCH)
  ahead = one_step(cfg, params, keys[4], few, context, infer)
  result["one_step"] = _one_step_scores(ahead, few, context)
  return result


def reported_steps(horizon: int) -> list[int]:
  """Open-loop steps that tables show, up to the horizon."""
  return [k for k in STEPS if k <= horizon]


def others(groups: np.ndarray, seed: int = 0) -> np.ndarray:
  """A permutation `[W]` in which every window meets one of another group.

  Drawn by seed: windows in random order within their groups, and the whole
  moved on by the size of the largest group. Where one group holds more than
  half of the windows, some of its own meet each other, none itself.
  """
  rng = np.random.default_rng(seed)
  count = len(groups)
  order = rng.permutation(count)
  order = order[np.argsort(groups[order], kind="stable")]
  largest = int(np.unique(groups, return_counts=True)[1].max())
  shift = min(largest, max(count // 2, 1))
  partner = np.empty(count, np.int64)
  partner[order] = np.roll(order, shift)
  return partner


def _thinned(
  windows: Mapping[str, np.ndarray], count: int
) -> dict[str, np.ndarray]:
  """At most `count` windows, spread evenly."""
  total = len(windows["action"])
  chosen = np.linspace(0, total - 1, min(count, total)).astype(int)
  return {name: value[chosen] for name, value in windows.items()}


def _frozen(windows, context, steps) -> Dreams:
  last = slice(context - 1, context)
  return Dreams(
    frame=np.repeat(windows["frame"][:, last], len(steps), axis=1),
    place=np.repeat(recorded_places(windows)[:, last], len(steps), axis=1),
  )


def _random_walk(places, context, steps, rng) -> np.ndarray:
  """Places of a walker who presses random buttons and meets no wall."""
  count = len(places)
  moves = np.zeros((specs.NUM_ACTIONS, 3), np.int64)
  for name, step in (
    ("down", (0, 1, 0)),
    ("up", (0, -1, 0)),
    ("left", (0, 0, -1)),
    ("right", (0, 0, 1)),
  ):
    moves[specs.ACTIONS.index(name)] = step
  pressed = rng.integers(specs.NUM_ACTIONS, size=(count, max(steps)))
  walk = np.cumsum(moves[pressed], axis=1)[:, [k - 1 for k in steps]]
  return places[:, context - 1, None].astype(np.int64) + walk


def _scores(dream, truth, places) -> dict[str, np.ndarray]:
  scores = {
    "pixels": pixel_accuracy(dream.frame, truth),
    "exact": exact(dream.frame, truth),
    "psnr": psnr(dream.frame, truth),
  }
  if places is not None and dream.place is not None:
    scores["tiles"] = tile_error(dream.place, places)
    scores["map"] = (dream.place[..., 0] == places[..., 0]).astype(float)
  return scores


def _one_step_scores(ahead, windows, context) -> dict[str, float]:
  """One step ahead over all rows and over overworld rows that moved."""
  truth = np.asarray(windows["frame"][:, context:])
  before = np.asarray(windows["frame"][:, context - 1 : -1])
  right = exact(ahead.frame, truth)
  pixels = pixel_accuracy(ahead.frame, truth)
  moved = exact(before, truth) == 0
  field = moved & (windows["in_battle"][:, context:] == 0)
  return {
    "exact": float(right.mean()),
    "pixels": float(pixels.mean()),
    "frozen_exact": float(1.0 - moved.mean()),
    "moved_exact": float(right[moved].mean()) if moved.any() else 0.0,
    "moved_overworld_exact": float(right[field].mean()) if field.any() else 0.0,
    "moved_share": float(moved.mean()),
  }


def _compare(scores, steps, resamples, groups) -> list[dict[str, Any]]:
  """Dream against frozen frame and shuffled actions, paired by window."""
  rows = []
  dream = scores["dream (sampled)"]
  for other in ("frozen frame", "shuffled actions"):
    for metric in ("pixels", "exact", "tiles"):
      if metric not in dream or metric not in scores[other]:
        continue
      # Positive means that the dream is better.
      sign = -1.0 if metric == "tiles" else 1.0
      gain = sign * (dream[metric] - scores[other][metric])
      for i, k in enumerate(steps):
        rows.append(
          {
            "metric": metric,
            "step": k,
            "than": other,
            **statistics.bootstrap_mean(gain[:, i], resamples, groups=groups),
          }
        )
  return rows


def _in_batches(run, cfg, params, key, windows, action) -> Dreams:
  """Runs `_BATCH` windows at a time; the last batch is padded."""
  count = len(action)
  size = _BATCH
  if cfg.family == "v2":  # its frames are dear: no more padding than needed
    size = min(size, count)
  fields = (*(f.name for f in specs.RAM_FIELDS), "frame", "is_first")
  frames, places = [], []
  for start in range(0, count, size):
    index = np.minimum(np.arange(start, start + size), count - 1)
    batch = {name: jnp.asarray(windows[name][index]) for name in fields}
    batch["action"] = jnp.asarray(action[index])
    batch["first_action_tm1"] = jnp.asarray(windows["first_action_tm1"][index])
    key, batch_key = jax.random.split(key)
    frame, place = run(params, batch_key, batch)
    keep = min(size, count - start)
    frames.append(np.asarray(frame)[:keep])
    places.append(np.asarray(place)[:keep])
  return Dreams(
    frame=np.concatenate(frames),
    place=np.concatenate(places) if has_places(cfg) else None,
  )


def _rows(steps: Sequence[int] | None) -> tuple[int, ...] | None:
  return None if steps is None else tuple(step - 1 for step in steps)


def _take(states, rows: tuple[int, ...] | None):
  """Some rows `[W, H, ...]` of states, all for None."""
  if rows is None:
    return states
  return jax.tree.map(lambda leaf: leaf[:, jnp.array(rows)], states)


@functools.lru_cache(maxsize=16)
def _open_loop_fn(cfg, context, most_likely, infer, rows):
  def run(params, key, batch):
    observe_key, dream_key = jax.random.split(key)
    seen = {k: v[:, :context] for k, v in batch.items() if v.ndim > 1}
    seen["first_action_tm1"] = batch["first_action_tm1"]
    start = world_model.observe(
      cfg, params, observe_key, seen, infer=infer
    ).state
    start = jax.tree.map(lambda leaf: leaf[:, -1], start)
    states = imagination.replay_actions(
      cfg,
      params,
      dream_key,
      start,
      world_model.dream_actions(cfg, batch["action"][:, context - 1 :]).T,
      most_likely,
    )
    states = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), states)
    return _frames_and_places(cfg, params, _take(states, rows))

  return jax.jit(run)


@functools.lru_cache(maxsize=4)
def _posterior_fn(cfg, context, infer, rows):
  def run(params, key, batch):
    state = world_model.observe(cfg, params, key, batch, infer=infer).state
    state = jax.tree.map(lambda leaf: leaf[:, context:], state)
    return _frames_and_places(cfg, params, _take(state, rows))

  return jax.jit(run)


@functools.lru_cache(maxsize=4)
def _one_step_fn(cfg, context, infer):
  def run(params, key, batch):
    observe_key, prior_key = jax.random.split(key)
    state = world_model.observe(
      cfg, params, observe_key, batch, infer=infer
    ).state
    state = jax.tree.map(lambda leaf: leaf[:, context - 1 : -1], state)
    lead = state.deter.shape[:2]
    # Sizes in full: without tokens a leaf is empty, and -1 cannot be inferred.
    rows = (lead[0] * lead[1],)
    flat = jax.tree.map(lambda leaf: leaf.reshape(rows + leaf.shape[2:]), state)
    action = world_model.dream_actions(cfg, batch["action"][:, context - 1 :])
    action = action.reshape(-1)
    flat = imagination.prior_step(cfg, params, prior_key, flat, action)
    state = jax.tree.map(lambda leaf: leaf.reshape(lead + leaf.shape[1:]), flat)
    return _frames_and_places(cfg, params, state)

  return jax.jit(run)


def _frames_and_places(cfg, params, states):
  """Decoded frames `[W, H, 144, 40]` and places `[W, H, 3]` of states."""
  # One step at a time: logits of a whole dream would not fit a laptop.
  by_step = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), states)
  frame = jax.lax.map(
    lambda state: world_model.decode(cfg, params, state), by_step
  )
  return jnp.swapaxes(frame, 0, 1), places_of(cfg, states.tokens)


def has_places(cfg: config_lib.WorldModelConfig) -> bool:
  """Whether the tokens say where the player is."""
  return {"map", "y", "x"} <= set(cfg.token_sizes)


def places_of(cfg: config_lib.WorldModelConfig, hot: jax.Array) -> jax.Array:
  """Places `[..., 3]` int32 (map, y, x) of tokens `[..., R]`; 0 without."""
  names = list(cfg.token_sizes)
  if not has_places(cfg):
    return jnp.zeros((*hot.shape[:-1], 3), jnp.int32)
  numbers = tokens.numbers(cfg.token_sizes, hot)
  return jnp.stack(
    [numbers[..., names.index(name)] for name in ("map", "y", "x")], axis=-1
  )
