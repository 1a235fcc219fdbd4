"""Loops over time whose weights' gradients are one product after the loop.

Differentiated as it stands, a scan adds up the gradient of each weight matrix
step by step: a small product and a sum over the whole matrix, which goes
through memory `T` times. What the products were given and what comes back to
them is kept instead, and the gradient is one product over all `T * B` rows.
On a CPU that halves the way back through a GRU; the sum is the same, in another
order.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

# `(weights, carry, row) -> (carry, outputs)`, of one stream.
StepFn = Callable[[Any, Any, Any], tuple[Any, Any]]
_Path = tuple[str, ...]


def scan_streams(step: StepFn, weights: Any, start: Any, rows: Any) -> Any:
  """`lax.scan` of `step` over each of `B` streams.

  Args:
    step: applies a Linen module to `weights`; what its `nn.Dense` layers
      multiply by gets its gradient after the loop, all else as ever.
    weights: nested dictionaries, as the module has them; shared by streams.
    start: carries, leaves `[B, ...]`.
    rows: leaves `[B, T, ...]`.

  Returns:
    What `step` puts out, leaves `[B, T, ...]`.
  """

  @jax.custom_vjp
  def run(weights, start, rows):
    return _run(step, weights, start, rows, [], None)[0]

  def forward(weights, start, rows):
    kernels = _kernels(step, weights, start, rows)
    late = {path: _at(weights, path) for path, _ in kernels}
    batch, length = jax.tree.leaves(rows)[0].shape[:2]
    taps = [
      jnp.zeros((length, batch, *out.shape), out.dtype) for _, out in kernels
    ]

    def tapped(weights, start, rows, taps):
      return _run(step, weights, start, rows, taps, late)

    made, backward, inputs = jax.vjp(
      tapped, weights, start, rows, taps, has_aux=True
    )
    paths = [path for path, _ in kernels]
    # A pytree without leaves carries what is no array.
    return made, (backward, inputs, dict.fromkeys(enumerate(paths)))

  def backward(kept, gradient):
    pull, inputs, paths = kept
    weights, start, rows, taps = pull(gradient)
    for (_, path), given, tap in zip(paths, inputs, taps, strict=True):
      kernel = _at(weights, path)
      product = jnp.matmul(
        given.reshape(-1, given.shape[-1]).T,
        tap.reshape(-1, tap.shape[-1]),
        preferred_element_type=jnp.float32,
      )
      weights = _with(weights, path, kernel + product.astype(kernel.dtype))
    return weights, start, rows

  run.defvjp(forward, backward)
  return run(weights, start, rows)


def _run(step, weights, start, rows, taps, late):
  """Outputs `[B, T, ...]`, and what the layers were given, `[T, B, ...]`.

  The kernels of `late` have no gradient here; `taps` `[T, B, ...]`, one a call,
  get what comes back to their layers.
  """
  stop = jax.lax.stop_gradient
  for path in late or ():
    weights = _with(weights, path, stop(_at(weights, path)))

  def one_stream(start, rows, taps):
    def one_step(carry, row):
      row, tap = row
      given: list[jax.Array] = []

      def watch(call, arguments, keywords, context):
        made = call(*arguments, **keywords)
        if late is None or not _multiplies(context):
          return made
        number = len(given)
        given.append(arguments[0])
        return _tapped(made, tap[number])

      with nn.intercept_methods(watch):
        carry, outputs = step(weights, carry, row)
      return carry, (outputs, given)

    return jax.lax.scan(one_step, start, (rows, taps))[1]

  streams = jax.vmap(one_stream, in_axes=(0, 0, 1), out_axes=(0, 1))
  return streams(start, rows, taps)


def _kernels(step, weights, start, rows):
  """Where the kernels of the called layers lie, and what those put out."""
  found: list[tuple[_Path, jax.Array]] = []

  def watch(call, arguments, keywords, context):
    made = call(*arguments, **keywords)
    if _multiplies(context):
      found.append(((*context.module.path, "kernel"), jnp.zeros_like(made)))
    return made

  def once(weights, start, rows):
    with nn.intercept_methods(watch):
      step(weights, start, rows)
    return [made for _, made in found]

  first = jax.tree.map(lambda leaf: leaf[0], start)
  row = jax.tree.map(lambda leaf: leaf[0, 0], rows)
  shapes = jax.eval_shape(once, weights, first, row)
  return [(path, shape) for (path, _), shape in zip(found, shapes, strict=True)]


def _multiplies(context: nn.module.InterceptorContext) -> bool:
  is_dense = isinstance(context.module, nn.Dense)
  return is_dense and context.method_name == "__call__"


@jax.custom_vjp
def _tapped(made: jax.Array, tap: jax.Array) -> jax.Array:
  """`made`; `tap` gets the same gradient."""
  del tap
  return made


_tapped.defvjp(
  lambda made, tap: (made, None), lambda _, gradient: (gradient, gradient)
)


def _at(tree: Any, path: _Path) -> Any:
  for name in path:
    tree = tree[name]
  return tree


def _with(tree: Any, path: _Path, leaf: Any) -> Any:
  """`tree` with another leaf."""
  if not path:
    return leaf
  return {**tree, path[0]: _with(tree[path[0]], path[1:], leaf)}
