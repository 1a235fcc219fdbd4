"""Whether recorded tokens decide pictures and the next tokens: rows, tables."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from experiments.reports import text_tables
from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import decided
from pokedreamer_jax.world_model import tokens

_SITUATION_FIELDS = ("in_battle", "dialog_open", "menu_open")
# Tokens that pictures of a situation show nothing of.
_BATTLE = (
  *("active_slot", "active_species", "active_level", "active_max_hp"),
  *("active_hp", "own_slide", "enemy_species", "enemy_level", "enemy_max_hp"),
  *("enemy_hp", "enemy_slide", "move_item", "blink_wait"),
)
_COUNTS = (
  *("badges", "capture_items", "heal_items", "party_size", "dex_owned"),
  *("dex_seen", "level", "hp", "species", "max_hp", "level2", "hp2", "money"),
)
_PLACE = (
  *("map", "y", "x", "facing", "control", "arriving", "walk", "event_flags"),
  *("scroll_y", "scroll_x", "dex_owned", "dex_seen", "badges"),
  *world_model_config.CLOCKS,
)
_LEFT_OUT = {
  "walking": (*_BATTLE, *_COUNTS),
  "dialog": (*_BATTLE, *_COUNTS),
  "menu": _BATTLE,
  "battle": _PLACE,
  "battle menu": _PLACE,
}
_TILE_WORDS = 4  # uint32 that a tile of the screen is stored in
_TILE_CODES = np.random.default_rng(1).integers(
  1, 2**63, _TILE_WORDS, dtype=np.uint64
)
_WORST = 4  # tokens named in a row
_SMALLEST = 0.0005  # share that is worth a name


def check(cfg: world_model_config.WorldModelConfig) -> None:
  """Refuses a state in which nothing could be compared.

  Raises:
    ValueError: it holds no tokens, or clocks and letters alone.
  """
  if not _names(cfg):
    raise ValueError(
      f"world_model.tokens: {cfg.tokens!r} with world_model.ram {cfg.ram!r}, "
      "expected tokens beside clocks, which are not compared"
    )


def measure(
  cfg: world_model_config.WorldModelConfig,
  generation: generations.Generation,
  most_rows: int,
) -> dict[str, Any]:
  """`decided.measure` and `decided.pictures`, in collection order.

  Clocks go on whatever happens and hardly meet twice: of what comes next they
  are left out, of pictures their phases count. Of texts the number stands in
  place of the tokens that tell them apart, which is what a model with those
  tokens is told.

  Args:
    cfg: whose tokens.
    generation: the records; all of their episodes are read.
    most_rows: after how many rows no further episode is.
  """
  names = _names(cfg)
  clocks = [name for name in tokens.CLOCKS if name in cfg.token_sizes]
  fields = {f for n in (*names, *clocks) for f in tokens.fields(n)} | {"text"}
  wanted = sorted({*fields, *_SITUATION_FIELDS, "action", "frame"})
  now, later, actions, where = [], [], [], []
  shown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
  read = 0
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  for _, rows in index.episodes(wanted):
    number = _read(names, cfg, rows)
    now.append(number[:-1])
    later.append(number[1:])
    actions.append(rows["action"][:-1])
    at = _situation(rows)
    where.append(at[:-1])
    seen = np.concatenate([number, _phases(clocks, rows)], axis=1)
    shown.append((seen, _tiles(rows["frame"]), at))
    read += len(number)
    if read >= most_rows:
      break
  steps = decided.Steps(*map(np.concatenate, (now, later, actions)))
  masks = lambda at: {name: at == k for k, name in enumerate(_SITUATIONS)}
  del now, later
  seen, drawn, at = map(np.concatenate, zip(*shown, strict=True))
  del shown
  return {
    "rows": read,
    "episodes": len(actions),
    "tokens": names,
    "situations": decided.measure(names, steps, masks(np.concatenate(where))),
    "pictures": decided.pictures(
      [*names, *clocks], seen, drawn, masks(at), _LEFT_OUT
    ),
  }


def tables(result: Mapping[str, Any]) -> list[text_tables.Table]:
  """What a person sees of it."""
  return [_next_tokens(result), _pictures(result)]


def _pictures(result: Mapping[str, Any]) -> text_tables.Table:
  return _table(
    ("Do tokens decide the picture?", "most often at"),
    result["pictures"],
    _worst_tile,
    "Alike: rows that agree with two others at least in every token that "
    "pictures of such rows show something of, clocks in their phases. "
    "Undecided: the share of these whose picture is not that of most. Most "
    "often at: the tile of 18 x 20 that differs most, and in how many.",
  )


def _next_tokens(result: Mapping[str, Any]) -> text_tables.Table:
  return _table(
    ("Do tokens and button decide the next tokens?", "which differ"),
    result["situations"],
    lambda found: _worst(found["tokens"]),
    "Alike: rows that agree with two others at least in every token (but "
    "clocks), and in the button. Undecided: the share of these whose next row "
    "is not that of most: chance, or what no token holds. Which differ: the "
    "same by token. Needed most: what would be undecided beyond that if one "
    "token were not known.",
  )


def _table(
  titles: tuple[str, str],
  found: Mapping[str, Mapping[str, Any]],
  differs: Callable[[Mapping[str, Any]], str],
  note: str,
) -> text_tables.Table:
  """A row for each situation; `differs` says where its outcomes do."""
  rows = []
  for name, one in found.items():
    cells = [name, f"{one['rows']:,}", f"{one['alike']:,}"]
    said = [text_tables.NOTHING] * 3
    if one["undecided"] is not None:
      said = [f"{one['undecided']:.4f}", differs(one), _worst(_beyond(one))]
    rows.append([*cells, *said])
  title, column = titles
  header = ["rows", "recorded", "alike", "undecided", column, "needed most"]
  return text_tables.Table(title, header, rows, [""] * len(rows), note)


def _worst_tile(found: Mapping[str, Any]) -> str:
  share = np.array(found["tiles"])
  row, column = np.unravel_index(share.argmax(), share.shape)
  return f"row {row}, column {column}: {share.max():.3f}"


_SITUATIONS = ("walking", "dialog", "menu", "battle", "battle menu")


def _situation(rows: Mapping[str, np.ndarray]) -> np.ndarray:
  """Index into `_SITUATIONS` of each row `[T]`."""
  battle, menu = rows["in_battle"] > 0, rows["menu_open"]
  outside = np.where(menu, 2, rows["dialog_open"].astype(int))
  return np.where(battle, 3 + menu, outside)


def _names(cfg: world_model_config.WorldModelConfig) -> list[str]:
  """The tokens that are compared, `text` last where texts are told apart."""
  texts = [n for n in world_model_config.TEXT_TOKENS if n in cfg.token_sizes]
  names = [
    name
    for name in cfg.token_sizes
    if name not in tokens.CLOCKS and name not in texts
  ]
  return [*names, *(["text"] if texts else [])]


def _read(names, cfg, rows) -> np.ndarray:
  """Token numbers `[T, M]` of an episode, and of texts the number in memory."""
  sizes = {name: cfg.token_sizes[name] for name in names if name != "text"}
  number = np.asarray(tokens.read(sizes, rows)).astype(np.int32)
  if "text" not in names:
    return number
  text = rows["text"].astype(np.int32)
  return np.concatenate([number, text[:, None]], axis=1)


def _phases(clocks, rows) -> np.ndarray:
  """At which phase clocks `[T, C]` are."""
  found = [
    np.asarray(tokens.READERS[name](rows)) // tokens.CLOCKS[name][1]
    for name in clocks
  ]
  at = np.zeros((len(rows["action"]), 0), np.int32)
  return np.concatenate([at, *(one[:, None] for one in found)], axis=1)


def _tiles(frame: np.ndarray) -> np.ndarray:
  """Numbers `[T, 18, 20]` uint32 that stand for tiles of frames, by hash."""
  height, width = specs.FRAME_HEIGHT // 8, specs.FRAME_WIDTH // 8
  parts = frame.reshape(-1, height, 8, width, 2).swapaxes(2, 3)
  bytes_of = parts.reshape(*parts.shape[:3], 4 * _TILE_WORDS)
  words = np.ascontiguousarray(bytes_of).view(np.uint32).astype(np.uint64)
  return (words @ _TILE_CODES >> np.uint64(32)).astype(np.uint32)


def _beyond(found: Mapping[str, Any]) -> dict[str, float]:
  """What would be undecided more if a token were not known, by token."""
  known = found["undecided"]
  return {name: share - known for name, share in found["without"].items()}


def _worst(shares: Mapping[str, float]) -> str:
  """The largest shares, by name."""
  order = sorted(shares, key=lambda name: -shares[name])[:_WORST]
  named = [f"{n} {shares[n]:.3f}" for n in order if shares[n] >= _SMALLEST]
  return ", ".join(named) or text_tables.NOTHING
