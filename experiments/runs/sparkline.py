"""A curve in one line of text."""

from collections.abc import Sequence
import itertools
import math

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.-=+*%#"
_DECADES = 10.0  # largest beside smallest, from which on a curve is logarithmic


def draw(values: Sequence[float], width: int, plain: bool = False) -> str:
  """At most `width` characters; more values are averaged.

  A curve of positive values over more than a decade is drawn by its logarithm:
  else all but its beginning were flat.

  Args:
    values: finite, in order.
    width: columns that there are.
    plain: ASCII alone.
  """
  signs = _PLAIN if plain else _BLOCKS
  count = min(len(values), max(width, 1))
  if not count:
    return ""
  if min(values) > 0 and max(values) / min(values) >= _DECADES:
    values = [math.log(value) for value in values]
  ends = [round(i * len(values) / count) for i in range(count + 1)]
  means = [
    sum(values[low:high]) / (high - low)
    for low, high in itertools.pairwise(ends)
  ]
  low, high = min(means), max(means)
  steps = len(signs) - 1
  return "".join(
    signs[round((mean - low) / (high - low) * steps) if high > low else 0]
    for mean in means
  )
