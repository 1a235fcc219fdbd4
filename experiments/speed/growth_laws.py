"""Laws of curves: the power of a size that a cost grows with; drift of memory.

An exponent has two forms: that of least squares on logarithms over all sizes,
with an interval, and that between the two largest sizes, where fixed costs
weigh least. The interval says how far the points lie off one power law; it
knows nothing of how noisy each point is.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import numpy as np

WORSE = 1.1  # an exponent between the two largest sizes that is too much

_NONE = float("nan")
# 97.5 % quantiles of Student's t with 1, 2, ... degrees of freedom; the last
# stands for all above it.
_STUDENT = (
  *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060),
  *(2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199),
  *(2.1098, 2.1009, 2.0930, 2.0860),
)
_SPANS = 10  # of a series of memory
_FIRST = 0.2  # share of it that is left out: buffers fill, programs compile


def law(
  sizes: Sequence[float], values: Sequence[float]
) -> tuple[float, float, float]:
  """The exponent `a` of `value = c * size ** a` that fits best, in logarithms.

  Args:
    sizes: at least two different ones, or all is NaN.
    values: what was measured at each; where one is not above 0 all is NaN.

  Returns:
    The exponent and its 95 % interval; of two sizes, which lie on a power law
    whatever they are, the interval is NaN.
  """
  x, y = np.asarray(sizes, float), np.asarray(values, float)
  if len(x) < 2 or (y <= 0).any():
    return _NONE, _NONE, _NONE
  x, y = np.log(x), np.log(y)
  off = x - x.mean()
  exponent = float(off @ y / (off @ off))
  free = len(x) - 2
  if not free:
    return exponent, _NONE, _NONE
  rest = y - y.mean() - exponent * off
  half = _student(free) * math.sqrt(rest @ rest / free / (off @ off))
  return exponent, exponent - half, exponent + half


def as_json(tree: Any) -> Any:
  """`tree` with null in place of NaN, which JSON does not have."""
  if isinstance(tree, Mapping):
    return {name: as_json(value) for name, value in tree.items()}
  if isinstance(tree, list | tuple):
    return [as_json(value) for value in tree]
  return None if isinstance(tree, float) and math.isnan(tree) else tree


def last_step(sizes: Sequence[float], values: Sequence[float]) -> float:
  """The exponent between the two largest sizes: fixed costs hide at small."""
  return law(sizes[-2:], values[-2:])[0]


def curves(name: str, rows: Mapping[int, Mapping[str, float]]) -> dict:
  """Curves of everything that was measured at every size, with their laws.

  Args:
    name: what the sizes count.
    rows: what was measured, by size.

  Returns:
    JSON-ready, by name.
  """
  at = sorted(rows)
  found = {}
  for measured in rows[at[0]]:
    values = [rows[size][measured] for size in at]
    exponent, low, high = law(at, values)
    found[f"{measured} against {name}"] = {
      "sizes": at,
      "values": values,
      "exponent": exponent,
      "exponent_interval": [low, high],
      "exponent_at_the_end": last_step(at, values),
    }
  return found


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """The curves for a person."""
  table = []
  for name, curve in found.items():
    values = ", ".join(f"{value:.3g}" for value in curve["values"])
    low, high = curve["exponent_interval"]
    end = curve["exponent_at_the_end"]
    marked = "  WORSE THAN LINEAR" if end > WORSE else ""
    table.append(
      f"{name:<32} {values:<44} ^{curve['exponent']:.2f} [{low:.2f}, "
      f"{high:.2f}], at the end ^{end:.2f}{marked}"
    )
  return table


def drift(
  updates: Sequence[float], values: Sequence[float]
) -> tuple[float, float, float]:
  """How much a series grows an update, with a 95 % interval.

  The first fifth is left out. The rest is cut into spans of as many samples,
  and the growth is the mean step from one span's median to the next: where
  memory does not go back to where it was, neighbours are alike, and residuals
  of a line would make the interval too narrow.

  Args:
    updates: ascending; at least 50 samples.
    values: of each sample.

  Returns:
    Growth an update and its interval, in units of `values`.
  """
  if len(updates) < 50:
    raise ValueError(f"{len(updates)} samples, expected at least 50")
  first = int(_FIRST * len(updates))
  x, y = (
    np.array([np.median(part) for part in np.array_split(series, _SPANS)])
    for series in (
      np.asarray(updates[first:], float),
      np.asarray(values[first:], float),
    )
  )
  steps = np.diff(y) / np.diff(x)
  half = _student(len(steps) - 1) * steps.std(ddof=1) / math.sqrt(len(steps))
  return (
    float(steps.mean()),
    float(steps.mean() - half),
    float(steps.mean() + half),
  )


def _student(free: int) -> float:
  return _STUDENT[min(free, len(_STUDENT)) - 1]
