"""What people answered, real or dreamt, on disk and summed up."""

from collections.abc import Mapping
import math
import pathlib
from typing import Any

import numpy as np

from experiments.playing import blind_pairs
from experiments.runs import json_store
from pokedreamer_jax.world_model import statistics

DREAM, CONTROL = "dream", "real"  # kinds of pairs
SIDES = ("left", "right")
_CONTROL_SHARE = 0.25  # of the pairs: both sides are the game
_MOST_ANSWERS = 100_000


class Answers:
  """All answers of a file, which is written anew with each.

  Attributes:
    result: shares with Wilson intervals, by kind and length.
  """

  def __init__(self, path: pathlib.Path, shown: Mapping[str, Any]):
    """Reads what is there already.

    Args:
      path: a JSON file; it need not exist, its folder must.
      shown: what is asked about: model, records and seed.

    Raises:
      ValueError: no such folder, or the file is about something else.
    """
    if not path.parent.is_dir():
      raise ValueError(f"--answers={path}: no folder {path.parent}")
    self._path, self._shown = path, dict(shown)
    self._all: list[dict[str, Any]] = []
    if path.exists():
      found = json_store.read_json(path)
      if found.get("shown") != self._shown or not _are_answers(found):
        raise ValueError(
          f"--answers={path}: answers about {found.get('shown')}, expected "
          f"{self._shown}; name another file"
        )
      self._all = found["answers"]

  def __len__(self) -> int:
    return len(self._all)

  @property
  def result(self) -> dict[str, Any]:
    """See the class."""
    return summed(self._all)

  def add(self, answer: Mapping[str, Any]) -> None:
    """Adds one, and writes the file whole.

    Args:
      answer: `sitting`, `pair`, `kind`, `steps`, `dreamt` (the side), `said`
        (a side) and `seconds`.

    Raises:
      ValueError: the file is full.
    """
    if len(self._all) >= _MOST_ANSWERS:
      raise ValueError(f"{self._path}: {_MOST_ANSWERS} answers, no more fit")
    self._all.append(dict(answer))
    json_store.write_json(
      self._path,
      {"shown": self._shown, "result": self.result, "answers": self._all},
      depth=3,
    )


def _are_answers(found: Mapping[str, Any]) -> bool:
  """Whether a file's answers are such as are written here."""
  answers = found.get("answers")
  if not isinstance(answers, list):
    return False
  lengths = set(blind_pairs.LENGTHS.values())
  return all(
    isinstance(one, dict)
    and one.get("kind") in (DREAM, CONTROL)
    and one.get("steps") in lengths
    and one.get("dreamt") in SIDES
    and one.get("said") in SIDES
    for one in answers
  )


def summed(answers: list[dict[str, Any]]) -> dict[str, Any]:
  """Shares of right answers, `kind -> length -> share`, and of "left".

  Of two clips of the game none is dreamt; one of them is called so before
  anybody is asked, and whoever finds it is lucky.
  """
  found: dict[str, Any] = {}
  for kind in (DREAM, CONTROL):
    found[kind] = {}
    of_kind = [one for one in answers if one["kind"] == kind]
    for name, steps in {**blind_pairs.LENGTHS, "all": 0}.items():
      of = [one for one in of_kind if steps in (0, one["steps"])]
      if of:
        right = sum(one["said"] == one["dreamt"] for one in of)
        found[kind][name] = statistics.wilson(right, len(of))
  if answers:
    left = sum(one["said"] == "left" for one in answers)
    found["said_left"] = statistics.wilson(left, len(answers))
  return found


def plan(count: int, seed: int) -> list[dict[str, Any]]:
  """What is asked, in no order that tells anything.

  Args:
    count: starts `N`, each shown once.
    seed: of sides, kinds, lengths and order.

  Returns:
    `pair` (number of the start), `kind`, `steps` and `dreamt`, the side. Of
    each kind as many dreams are left as right, as nearly as may be, and
    lengths are balanced.
  """
  rng = np.random.default_rng([seed, 0xB11D])
  controls = math.ceil(count * _CONTROL_SHARE)
  lengths = list(blind_pairs.LENGTHS.values())
  asked: list[dict[str, Any]] = []
  for kind, many in ((CONTROL, controls), (DREAM, count - controls)):
    first = int(rng.integers(len(SIDES)))
    for i in range(many):
      side = SIDES[(first + i // len(lengths)) % len(SIDES)]
      asked.append(
        {"kind": kind, "steps": lengths[i % len(lengths)], "dreamt": side}
      )
  starts = rng.permutation(count).tolist()
  asked = [asked[i] for i in rng.permutation(count)]
  return [
    {"pair": start} | one for start, one in zip(starts, asked, strict=True)
  ]
