"""A world model as the scripts of a page read it: float16, packed, as text.

Only what dreaming needs is written: no encoder, no posterior, no heads. Of the
chain between tokens only its causal part, of the map memory only its pages in
use. Bytes are sorted by their place in a number and compressed, without loss.
"""

import base64
from collections.abc import Mapping
import json
from typing import Any
import zlib

import jax
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import codecs
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import token_prior

# Parts that only observing, or judging a dream, needs.
_LEFT_OUT = (
  *("encoder.", "reward.", "continue.", "ram.", "tiles.hashes"),
  *("rssm.post_", "rssm.infer_net.", "chain."),
)


def check(cfg: world_model_config.WorldModelConfig) -> None:
  """Raises ValueError for a model that the page's scripts cannot dream."""
  expected = (
    ("family", cfg.family, "v3"),
    ("decoder", cfg.decoder, "dictionary"),
    ("atlas", cfg.atlas, "counted"),
    ("action_alignment", cfg.action_alignment, "previous"),
    ("compute_dtype", cfg.compute_dtype, "float32"),
  )
  for name, value, needed in expected:
    if value != needed:
      raise ValueError(
        f"world_model.{name}: {value!r}, a dream in a page needs {needed!r}"
      )


def rounded(params: world_model.Params) -> world_model.Params:
  """Parameters as the page has them: rounded to float16, as float32.

  Raises:
    ValueError: a weight is too large for float16, or no number.
  """

  def one(path, leaf):
    array = np.asarray(leaf)
    if array.dtype != np.float32:
      return array
    with np.errstate(over="ignore"):  # told below
      half = array.astype(np.float16)
    if not np.isfinite(half).all():
      name, worst = _name(path), array[~np.isfinite(half)].flat[0]
      raise ValueError(f"{name}: {worst}, float16 holds -65504 to 65504")
    return half.astype(np.float32)

  return jax.tree_util.tree_map_with_path(one, params)


def configuration(
  cfg: world_model_config.WorldModelConfig,
) -> dict[str, Any]:
  """What the scripts need to know beside the arrays, as JSON holds it."""
  check(cfg)
  sizes = cfg.token_sizes
  at = {name: number for number, name in enumerate(sizes)}
  clocks = world_model_config.CLOCKS
  changes = relative_tokens.changes(cfg)
  sets = relative_tokens.sets(cfg)
  starts = np.cumsum([0, *sizes.values()]).tolist()
  shown = []
  for first, stop, phases, direct in codecs.shown_tokens(cfg):
    if first < cfg.token_dim:  # else the HP bars
      wait = (stop - first) // phases if phases else 1
      shown.append(
        {
          "token": starts.index(first),
          "size": phases or stop - first,
          "wait": wait,
          "direct": direct,
        }
      )
  return {
    **{
      name: getattr(cfg, name)
      for name in (
        *("deter", "stoch", "classes", "hidden"),
        *("tile_units", "block_units"),
      )
    },
    "vocab": cfg.tile_vocab,
    "tokens": [
      {
        "name": name,
        "size": size,
        "low": changes[name][0],
        "high": changes[name][1],
        "cycle": name in clocks,
        "sets": _setting(name, sets),
      }
      for name, size in sizes.items()
    ],
    "relative": cfg.relative_tokens,
    "chained": cfg.chain_changes,
    "around": cfg.reads_around,
    "copies": cfg.atlas_copies,
    "mix": cfg.block_mix,
    "texts": cfg.copies_boxes,
    "told": [
      {"token": at[name], "size": sizes[name]}
      for name in world_model_config.BOX_TOKENS
      if name in at
    ],
    "place": [at[name] for name in ("map", "y", "x")],
    "facing": at.get("facing", -1),
    "scroll": [at.get(name, -1) for name in ("scroll_y", "scroll_x")],
    "arriving": at.get("arriving", -1),
    "shade": at.get("shade", -1),
    "shades": list(specs.SHADES),
    "clocks": [
      {"token": at[name], "phases": phases, "wait": wait}
      for name, (phases, wait) in clocks.items()
      if name in at
    ],
    "shown": shown,
    "bars": [
      [at.get(name, -1) for name in names] for names in world_model_config.BARS
    ]
    if cfg.has_bars
    else [],
    "bar_pixels": world_model_config.BAR_PIXELS,
    "actions": list(specs.ACTIONS),
    "ahead": [atlas_lib.STEPS.get(name) for name in specs.ACTIONS],
    "looks": [atlas_lib.STEPS[name] for name in specs.FACINGS],
  }


def _setting(
  name: str, sets: Mapping[str, tuple[int, int]]
) -> dict[str, int] | None:
  """How a clock is set (see `relative_tokens.py`); None of what is not."""
  if name not in sets:
    return None
  phases, wait = world_model_config.CLOCKS[name]
  low, high = sets[name]
  return {"phases": phases, "wait": wait, "low": low, "high": high}


def arrays(
  cfg: world_model_config.WorldModelConfig, params: world_model.Params
) -> dict[str, np.ndarray]:
  """Name -> array of all that is written, floats as float16."""
  made = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(rounded(params)):
    name, array = _name(path), np.asarray(leaf)
    if not name.startswith(_LEFT_OUT):
      made[name] = _small(array)
  chain = token_prior.chain_matrix(cfg, rounded(params))
  made["chain.kernel"] = _small(np.asarray(chain))
  used = (int(made["atlas.pages"].max()) + 1) * atlas_lib.PAGE_CELLS
  for name in ("atlas.tiles", *(n for n in made if n.endswith(".cells"))):
    made[name] = made[name][:used]
  for name in ("atlas.wholes", "atlas.letters"):  # for who reads memory
    made.pop(name, None)
  return made


def pack(named: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Arrays as JSON holds them: what they are, and their bytes as base64."""
  listed, parts = [], []
  for name, array in named.items():
    kind = array.dtype.newbyteorder("<").str[1:]
    listed.append({"name": name, "kind": kind, "shape": list(array.shape)})
    flat = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    planes = flat.reshape(-1).view(np.uint8).reshape(-1, array.itemsize)
    parts.append(planes.T.tobytes())
  data = zlib.compress(b"".join(parts), 9)
  return {"arrays": listed, "data": base64.b64encode(data).decode()}


def script(name: str, value: Any) -> str:
  """A script that gives a global name a value: JSON is JavaScript."""
  text = json.dumps(value, separators=(",", ":"), allow_nan=False)
  return f"globalThis.{name} = {text};\n"


def _small(array: np.ndarray) -> np.ndarray:
  """The same numbers in fewer bytes."""
  if array.dtype == np.float32:
    return array.astype(np.float16)
  if array.dtype == np.int32 and 0 <= array.min() and array.max() < 1 << 16:
    return array.astype(np.uint16)
  return array


def _name(path: Any) -> str:
  """Keys of a leaf with dots: without the number of the only layer's MLP."""
  keys = [str(key.key) for key in path]
  return ".".join(key for key in keys if key != "MLP_0")
