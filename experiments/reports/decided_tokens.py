"""Whether recorded tokens decide the next ones: rows read, and the table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_tools.records import generations
from data_tools.records import loader
from experiments.reports import text_tables
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.evaluation import decided
from pokedreamer_jax.world_model import tokens

_SITUATION_FIELDS = ("in_battle", "dialog_open", "menu_open")
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
  """`decided.measure` of a generation's episodes, in collection order.

  Clocks go on whatever happens and hardly meet twice: they are left out. Of
  texts the number stands in place of the tokens that tell them apart, which is
  what a model with those tokens is told.

  Args:
    cfg: whose tokens.
    generation: the records; all of their episodes are read.
    most_rows: after how many rows no further episode is.
  """
  names = _names(cfg)
  fields = {f for name in names for f in tokens.fields(name)} | {"text"}
  wanted = sorted({*fields, *_SITUATION_FIELDS, "action"})
  now, later, actions, where = [], [], [], []
  read = 0
  index = loader.EpisodeIndex(generation, "all", cache_bytes=0)
  for _, rows in index.episodes(wanted):
    number = _read(names, cfg, rows)
    now.append(number[:-1])
    later.append(number[1:])
    actions.append(rows["action"][:-1])
    where.append(_situation(rows)[:-1])
    read += len(number)
    if read >= most_rows:
      break
  steps = decided.Steps(*map(np.concatenate, (now, later, actions)))
  at = np.concatenate(where)
  masks = {name: at == k for k, name in enumerate(_SITUATIONS)}
  return {
    "rows": read,
    "episodes": len(now),
    "tokens": names,
    "situations": decided.measure(names, steps, masks),
  }


def table(result: Mapping[str, Any]) -> text_tables.Table:
  """What a person sees of it."""
  rows = []
  for name, found in result["situations"].items():
    cells = [name, f"{found['rows']:,}", f"{found['alike']:,}"]
    if found["undecided"] is None:
      rows.append([*cells, *[text_tables.NOTHING] * 3])
      continue
    without = {
      token: share - found["undecided"]
      for token, share in found["without"].items()
    }
    cells += [f"{found['undecided']:.4f}", _worst(found["tokens"])]
    rows.append([*cells, _worst(without)])
  return text_tables.Table(
    "Do tokens and button decide the next tokens?",
    ["rows", "recorded", "alike", "undecided", "which differ", "needed most"],
    rows,
    [""] * len(rows),
    "Alike: rows that agree with two others at least in every token (but "
    "clocks), and in the button. Undecided: the share of these whose next row "
    "is not that of most: chance, or what no token holds. Which differ: the "
    "same by token. Needed most: what would be undecided beyond that if one "
    "token were not known.",
  )


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


def _worst(shares: Mapping[str, float]) -> str:
  """The largest shares, by name."""
  order = sorted(shares, key=lambda name: -shares[name])[:_WORST]
  named = [f"{n} {shares[n]:.3f}" for n in order if shares[n] >= _SMALLEST]
  return ", ".join(named) or text_tables.NOTHING
