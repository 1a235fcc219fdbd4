"""Layers of the published v2 system, channels last.

Shapes, semantics and initial distributions are those of the PyTorch layers
that v2 was published with, so that its checkpoints give the same numbers
here. Biases are added with their axes written out: ranks never promote.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

BATCH_STATS = "batch_stats"  # the collection of running averages
KERNEL = (4, 4)  # of every convolution that halves or doubles a picture
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_TURNED = "kernel_turned"  # `[outputs, I]`, in the place of a `kernel`


def fan_in_uniform(fan_in: int) -> nn.initializers.Initializer:
  """Uniform within `1 / sqrt(fan_in)`, for weights and biases alike."""
  bound = fan_in**-0.5

  def init(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """`x` `[..., C]` plus a bias `[C]`."""
  return x + jnp.broadcast_to(bias, x.shape)


class Linear(nn.Module):
  """`[..., I]` to `[..., outputs]`, with a bias.

  Attributes:
    outputs: units.
  """

  outputs: int

  @nn.compact
  def __call__(
    self, x: jax.Array, product: jax.Array | None = None
  ) -> jax.Array:
    # Nothing of `x` is read where its product is known: it may be empty.
    init = fan_in_uniform(max(x.shape[-1], 1))
    if product is None and self.has_variable("params", _TURNED):
      kernel = self.param(_TURNED, init, (self.outputs, x.shape[-1]))
      dimensions = (((x.ndim - 1,), (1,)), ((), ()))
      product = jax.lax.dot_general(x, kernel, dimensions)
    elif product is None:
      kernel = self.param("kernel", init, (x.shape[-1], self.outputs))
      product = x @ kernel
    bias = self.param("bias", init, (self.outputs,))
    return add_bias(product, bias)


def turned(params: Mapping[str, Any]) -> dict[str, Any]:
  """Parameters of a `Linear` whose kernel lies by outputs, `[outputs, I]`.

  On a CPU XLA multiplies a single row by a large kernel so in less than half
  the time: it reads memory in order. Outputs are the same up to rounding.
  """
  kept = {name: leaf for name, leaf in params.items() if name != "kernel"}
  return kept | {_TURNED: params["kernel"].T}


class Conv(nn.Module):
  """Convolution `[N, H, W, I]` to `[N, H', W', outputs]`, padded by 1.

  Attributes:
    outputs: channels.
    kernel: height and width of the kernel.
    stride: 1, or 2 to halve the picture.
    use_bias: whether there is one.
  """

  outputs: int
  kernel: tuple[int, int]
  stride: int
  use_bias: bool

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    init = fan_in_uniform(self.kernel[0] * self.kernel[1] * x.shape[-1])
    shape = (*self.kernel, x.shape[-1], self.outputs)
    kernel = self.param("kernel", init, shape)
    y = _convolve(x, kernel, self.stride)
    if not self.use_bias:
      return y
    return add_bias(y, self.param("bias", init, (self.outputs,)))


class TransposedConv(nn.Module):
  """Doubles a picture: `[N, H, W, I]` to `[N, 2 H, 2 W, outputs]`.

  Attributes:
    outputs: channels.
  """

  outputs: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    # PyTorch takes the fan-in of the convolution that this one transposes.
    init = fan_in_uniform(KERNEL[0] * KERNEL[1] * self.outputs)
    shape = (*KERNEL, self.outputs, x.shape[-1])
    kernel = self.param("kernel", init, shape)
    bias = self.param("bias", init, (self.outputs,))
    return add_bias(transposed_convolve(x, kernel), bias)


class BatchNorm(nn.Module):
  """Normalises channels over all other axes, as PyTorch's BatchNorm2d.

  In training by the statistics of the batch, and the running averages move
  towards them; else by the running averages. The running variance takes the
  unbiased variance of the batch, the normalisation the biased one. Streams
  are mixed here: never call it under a `vmap`.

  Attributes:
    momentum: share of the batch in a new running average.
    epsilon: added to the variance.
  """

  momentum: float = 0.1
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    shape = x.shape[-1:]
    scale = self.param("scale", nn.initializers.ones_init(), shape)
    bias = self.param("bias", nn.initializers.zeros_init(), shape)
    running_mean = self.variable(BATCH_STATS, "mean", jnp.zeros, shape)
    running_var = self.variable(BATCH_STATS, "var", jnp.ones, shape)
    mean, var = running_mean.value, running_var.value
    if train:
      axes = tuple(range(x.ndim - 1))
      mean = jnp.mean(x, axes)
      var = jnp.mean(jnp.square(x - jnp.broadcast_to(mean, x.shape)), axes)
      if not self.is_initializing():
        count = x.size // x.shape[-1]
        unbiased = var * (count / (count - 1))
        running_mean.value += self.momentum * (mean - running_mean.value)
        running_var.value += self.momentum * (unbiased - running_var.value)
    factor = scale * jax.lax.rsqrt(var + self.epsilon)
    centred = x - jnp.broadcast_to(mean, x.shape)
    return add_bias(centred * jnp.broadcast_to(factor, x.shape), bias)


class ResidualBlock(nn.Module):
  """Two 3x3 convolutions with BatchNorm beside a short cut, then ReLU.

  `[N, H, W, C]` to the same shape.
  """

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    def conv(name: str) -> Callable[[jax.Array], jax.Array]:
      return Conv(x.shape[-1], (3, 3), stride=1, use_bias=False, name=name)

    y = nn.relu(BatchNorm(name="bn1")(conv("conv1")(x), train))
    y = BatchNorm(name="bn2")(conv("conv2")(y), train)
    return nn.relu(x + y)


class MLP(nn.Module):
  """Linear layers with ELU between them, `[..., I]` to `[..., outputs]`.

  Attributes:
    hidden: units of each hidden layer.
    outputs: units of the last layer.
  """

  hidden: tuple[int, ...]
  outputs: int

  @nn.compact
  def __call__(
    self, x: jax.Array, product: jax.Array | None = None
  ) -> jax.Array:
    """`product` `[..., hidden[0]]`: of `x` and the first kernel, if known."""
    # Named by their places in the published list of layers and activations.
    for i, units in enumerate(self.hidden):
      x = nn.elu(Linear(units, name=f"layer_{2 * i}")(x, product))
      product = None
    return Linear(self.outputs, name=f"layer_{2 * len(self.hidden)}")(x)


@jax.custom_vjp
def transposed_convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The transpose of a k4 s2 p1 convolution.

  Its own gradient rule: XLA's for the kernel took 2.9 s on a CPU for one
  layer and 15 frames, where the ordinary convolution's, which is the same
  sum, took some 50 ms.

  Args:
    x: `[N, H, W, I]`.
    kernel: `[4, 4, O, I]`, that of the convolution from `O` to `I` channels
      which is transposed.

  Returns:
    `[N, 2 H, 2 W, O]`.
  """
  turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)  # [4, 4, I, O]
  return jax.lax.conv_general_dilated(
    x,
    turned,
    (1, 1),
    ((2, 2), (2, 2)),  # kernel - 1 - padding
    lhs_dilation=(2, 2),
    dimension_numbers=_DIMENSIONS,
  )


def _forward(x, kernel):
  return transposed_convolve(x, kernel), (x, kernel)


def _backward(saved, cotangent):
  x, kernel = saved
  kernel_gradient = jax.linear_transpose(
    lambda kernel: _convolve(cotangent, kernel, 2), kernel
  )
  return _convolve(cotangent, kernel, 2), *kernel_gradient(x)


transposed_convolve.defvjp(_forward, _backward)


def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((1, 1), (1, 1)),
    dimension_numbers=_DIMENSIONS,
  )
