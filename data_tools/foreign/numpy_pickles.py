"""Numpy's arrays and numbers in pickles that were interpreted, not run."""

import math
import re
from typing import Any

import numpy as np

from data_tools.foreign import inert_pickles

MOST_RANK = 8

_CODE = re.compile(r"b1|[iu][1248]|f[248]")
_CORES = ("numpy.core", "numpy._core")  # before and from version 2 on
_SCALAR = [f"{core}.multiarray scalar" for core in _CORES]
_RECONSTRUCT = [f"{core}.multiarray _reconstruct" for core in _CORES]
_FROM_BUFFER = [f"{core}.numeric _frombuffer" for core in _CORES]


def number(value: Any) -> int | float | None:
  """A plain number, or one of numpy's as a plain one; None if it is neither."""
  if type(value) in (int, float):
    return value
  if not inert_pickles.is_call(value, *_SCALAR) or not value.bare:
    return None
  match value.arguments:
    case (kind, content):
      number_type, data = dtype(kind), _raw(content)
      if number_type is None or data is None or number_type.kind not in "iuf":
        return None
      if len(data) == number_type.itemsize:
        return np.frombuffer(data, number_type)[0].item()
  return None


def array(value: Any) -> np.ndarray | None:
  """An array of numbers, or None if it is not known as one."""
  parts: tuple[Any, ...] = ()
  if inert_pickles.is_call(value, *_RECONSTRUCT):
    match value.states:
      case [(1, shape, kind, bool(fortran), content)]:
        parts = shape, kind, "F" if fortran else "C", content
  elif inert_pickles.is_call(value, *_FROM_BUFFER) and value.bare:
    match value.arguments:
      case (content, kind, shape, ("C" | "F") as order):
        parts = shape, kind, order, content
  match parts:
    case (tuple(shape), kind, order, content):
      number_type, data = dtype(kind), _raw(content)
      if (
        number_type is not None
        and data is not None
        and len(shape) <= MOST_RANK
        and all(type(n) is int and 0 < n <= len(data) for n in shape)
        and math.prod(shape) * number_type.itemsize == len(data)
      ):
        return np.frombuffer(data, number_type).reshape(shape, order=order)
  return None


def dtype(value: Any) -> np.dtype | None:
  """A dtype of plain numbers or truth values, or None."""
  if not inert_pickles.is_call(value, "numpy dtype"):
    return None
  match value.arguments, value.states:
    case (str(code), *_), [(3, ("<" | "|") as order, None, None, None, *_)]:
      if _CODE.fullmatch(code):
        return np.dtype(order + code)
  return None


def _raw(value: Any) -> bytes | bytearray | None:
  """Bytes, which old protocols write down as text."""
  if isinstance(value, bytes | bytearray):
    return value
  if inert_pickles.is_call(value, "_codecs encode") and value.bare:
    match value.arguments:
      case (str(text), "latin1"):
        try:
          return text.encode("latin1")
        except UnicodeEncodeError:
          return None
  return None
