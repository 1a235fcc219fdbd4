"""Random steps, windows and models for the tests; no emulator, no disk."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens

# Compiling is most of what these tests take; this halves it.
jit = functools.partial(
  jax.jit,
  compiler_options={
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
  },
)

# Few tokens, so that compiling is quick; `badges` and `dex_owned` pay rewards.
TOKENS = "battle:4 map:8 y:12 x:12 badges:4 dex_owned:5"


def config(*overrides: str) -> config_lib.Config:
  """The `debug` preset with a small dictionary and few tokens."""
  return presets.make(
    "debug",
    ["world_model.tile_vocab=24", f"world_model.tokens={TOKENS}", *overrides],
  )


def config_v2(*overrides: str) -> config_lib.Config:
  """The `v2` preset, with small networks."""
  return presets.make(
    "v2",
    [
      "world_model.channels=2",
      "world_model.deter=10",
      "world_model.stoch=3",
      "world_model.classes=4",
      "world_model.hidden=12",
      "world_model.head_units=6",
      "train.batch_size=2",
      "train.seq_len=4",
      *overrides,
    ],
  )


@functools.cache
def screens(count: int = 12, seed: int = 0) -> np.ndarray:
  """Packed frames `[count, 144, 40]` made of 20 random tiles."""
  rng = np.random.default_rng(seed)
  art = rng.integers(0, 256, (20, 8, 2)).astype(np.uint8)
  grid = art[rng.integers(len(art), size=(count, 18, 20))]
  return grid.transpose(0, 1, 3, 2, 4).reshape(count, 144, 40)


def steps(length: int, seed: int) -> dict[str, np.ndarray]:
  """Random rows `[length, ...]` of one stream, `is_first` nowhere."""
  rng = np.random.default_rng(seed)
  rows = specs.empty_steps(length)
  picture = rng.integers(len(screens()), size=length)
  rows["frame"] = screens()[picture]
  rows["action"] = rng.integers(specs.NUM_ACTIONS, size=length).astype(np.uint8)
  rows["map_id"] = (picture % 4).astype(np.uint8)
  rows["x"] = (picture // 4).astype(np.uint8)
  rows["y"] = (picture // 2).astype(np.uint8)
  rows["in_battle"] = rng.choice([0, 1, 2, 255], size=length).astype(np.uint8)
  rows["badges"] = rng.integers(8, size=length).astype(np.uint8)
  rows["dex_owned"] = rng.integers(5, size=length).astype(np.uint8)
  rows["visited_maps"] = rng.integers(256, size=(length, 32)).astype(np.uint8)
  terms = rng.integers(3, size=(length, specs.NUM_REWARD_TERMS))
  rows["reward_terms"] = terms.astype(np.float32)
  specs.check_steps(rows)
  return rows


def windows(count: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
  """Windows `[count, length, ...]` and `first_action_tm1` `[count]`.

  The first window begins an episode, the others lie in one.
  """
  streams = [steps(length, 1000 * seed + i) for i in range(count)]
  batch = {name: np.stack([s[name] for s in streams]) for name in streams[0]}
  batch["is_first"][0, 0] = True
  rng = np.random.default_rng(seed)
  tm1 = rng.integers(specs.NUM_ACTIONS, size=count).astype(np.uint8)
  batch["first_action_tm1"] = np.where(
    batch["is_first"][:, 0], np.uint8(specs.PASS), tm1
  )
  return batch


def on_device(batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
  """The same batch as jax arrays."""
  return {name: jnp.asarray(value) for name, value in batch.items()}


@functools.cache
def table(vocab: int) -> tiles.TileTable:
  """The dictionary of `screens`."""
  return tiles.build([screens()], vocab)


@functools.cache
def _fresh(cfg: world_model_config.WorldModelConfig) -> world_model.Params:
  init = jit(functools.partial(world_model.init, cfg))
  known = table(cfg.tile_vocab) if cfg.has_dictionary else None
  return init(jax.random.key(0), known)


@functools.cache
def params(
  cfg: world_model_config.WorldModelConfig, noise: float = 0.0
) -> world_model.Params:
  """Fresh parameters, with normal `noise` added to every weight.

  Heads and the token chain start at zero, which would hide what they do.
  """
  made = _fresh(cfg)
  kept = {name: made[name] for name in training.FROZEN if name in made}
  rng = np.random.default_rng(0)

  def shake(leaf):
    return leaf + noise * rng.normal(size=leaf.shape).astype(np.float32)

  weights = {name: part for name, part in made.items() if name not in kept}
  return {**made, **jax.tree.map(shake, weights)}


def state_shapes(cfg: config_lib.Config) -> training.TrainState:
  """Shapes and dtypes of a train state; nothing is compiled."""
  return jax.eval_shape(
    functools.partial(training.init_state, cfg.train),
    world_model.shapes(cfg.world_model),
  )


def most_likely(function):
  """`jit` of `function` with every sample replaced by the likeliest class."""

  def wrapped(*args):
    with mock.patch.object(
      sampling, "inverse_cdf", lambda _, weights: jnp.argmax(weights, -1)
    ):
      return function(*args)

  return jit(wrapped)


@functools.cache
def obedient_params(
  cfg: world_model_config.WorldModelConfig,
) -> world_model.Params:
  """A model planted by hand: `x` becomes the last action, `map`, `y` stay.

  Each value lights a unit of the GRU's input, a new candidate carries it into
  `deter`, where older values have faded, and the token head reads it.
  """
  made = params(cfg)
  rssm = jax.tree.map(lambda leaf: np.zeros_like(leaf), made["rssm"])
  for norm in (rssm["norm_in"], rssm["norm_gates"]):
    norm["scale"] += 1.0
  head = rssm["token_net"]
  head["RMSNorm_0"]["scale"] += 1.0
  places = tokens.slices(cfg.token_sizes)
  # (row of the input, token value), one unit of `deter` each.
  links = [
    (cfg.token_dim + a, places["x"].start + a) for a in range(specs.NUM_ACTIONS)
  ]
  for name in ("map", "y"):
    links += [(i, i) for i in range(places[name].start, places[name].stop)]
  for unit, (row, value) in enumerate(links):
    rssm["known_in"]["kernel"][row, unit] = 1.0
    gates = rssm["gates"]["kernel"][cfg.deter + unit]
    gates[cfg.deter + unit] = 1.0  # candidate
    gates[2 * cfg.deter :] = 1.0  # update
    head["Dense_0"]["kernel"][unit, unit] = 1.0
    head["Dense_1"]["kernel"][unit, value] = 100.0
  return {**made, "rssm": jax.tree.map(jnp.asarray, rssm)}


def obedient_windows(count: int, length: int) -> dict[str, np.ndarray]:
  """Windows of the world that `obedient_params` is a perfect model of.

  `x` is the last action, map and row stay, and each place has its own picture
  (`obedient_picture`). Every window begins inside an episode.
  """
  rows = windows(count, length)
  rows["is_first"][:] = False
  tm1 = np.concatenate(
    [rows["first_action_tm1"][:, None], rows["action"][:, :-1]], axis=1
  )
  rows["x"] = tm1
  rows["map_id"] = np.repeat(np.arange(count)[:, None] % 4, length, axis=1)
  rows["y"] = np.repeat(np.arange(count)[:, None] % 3, length, axis=1)
  for name in ("x", "y", "map_id"):
    rows[name] = rows[name].astype(np.uint8)
  rows["in_battle"][:] = 0
  rows["game_running"][:] = True
  rows["frame"] = obedient_picture(rows["map_id"], rows["y"], rows["x"])
  return rows


def obedient_picture(map_id, y, x) -> np.ndarray:
  """Frames `[..., 144, 40]` of places `[...]`."""
  return screens(4 * 3 * 8, seed=1)[(np.asarray(map_id) * 3 + y) * 8 + x]
