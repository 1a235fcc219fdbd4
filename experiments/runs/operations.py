"""Counts the operations of matrix products and convolutions in a function.

XLA's own count takes the body of a loop once; here a scan counts for all of
its steps. One multiply-add is two operations; everything else (look-ups,
element-wise work) counts nothing, as is usual for a share of matrix peak.
"""

from collections.abc import Callable
import math
from typing import Any


def count(function: Callable[..., Any], *arguments: Any) -> int:
  """Operations of one call.

  Args:
    function: a jax function, jitted or not.
    *arguments: arrays or shapes, as for the function.
  """
  import jax

  return _of(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of(jaxpr: Any) -> int:
  return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
  name, parameters = equation.primitive.name, equation.params
  shapes = [variable.aval.shape for variable in equation.invars]
  if name == "dot_general":
    contracted = parameters["dimension_numbers"][0][0]
    depth = math.prod(shapes[0][axis] for axis in contracted)
    return 2 * math.prod(equation.outvars[0].aval.shape) * depth
  if name == "conv_general_dilated":
    return _of_convolution(equation)
  inner = [_of(value) for value in _jaxprs(parameters)]
  if name == "scan":
    return parameters["length"] * sum(inner)
  if name == "cond":  # one branch is taken
    return max(inner, default=0)
  return sum(inner)


def _of_convolution(equation: Any) -> int:
  """Products with the zeros between dilated inputs are not counted."""
  numbers = equation.params["dimension_numbers"]
  kernel = equation.invars[1].aval.shape
  # Output channels are one axis of the kernel; groups are in its input axis.
  outputs, inputs, *window = (kernel[axis] for axis in numbers.rhs_spec)
  image = equation.outvars[0].aval.shape
  places = image[numbers.out_spec[0]] * math.prod(
    image[axis] for axis in numbers.out_spec[2:]
  )
  dilation = math.prod(equation.params["lhs_dilation"])
  return 2 * places * outputs * inputs * math.prod(window) // dilation


def _jaxprs(parameters: dict[str, Any]) -> list[Any]:
  """Functions that an equation calls: jit, scan, cond, custom gradients."""
  found = []
  for value in parameters.values():
    for item in value if isinstance(value, (tuple, list)) else (value,):
      jaxpr = getattr(item, "jaxpr", item)  # closed or not
      if hasattr(jaxpr, "eqns"):
        found.append(jaxpr)
  return found
