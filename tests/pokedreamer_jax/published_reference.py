"""The published v2 modules in plain numpy, float64, in their own layout.

Written from the layers' definitions, tap by tap, and sharing nothing with the
package: arrays carry the names and shapes of the published checkpoints,
pictures are (N, channels, rows, columns).
"""

import numpy as np

CHANNELS = (2, 4, 8, 16)
DETER, STOCH, CLASSES, HIDDEN, HEAD, UNITS = 10, 3, 4, 12, 6, 7
ACTIONS, GRID = 8, (9, 10)


def world_model_arrays(seed=0):
  """Random arrays by `part.name` of a small published world model."""
  rng = np.random.default_rng(seed)
  arrays = {}

  def put(name, *shape, fan_in=None):
    scale = 1.0 / np.sqrt(fan_in or np.prod(shape[1:]))
    arrays[name] = rng.normal(0, scale, shape).astype(np.float32)

  def linear(name, inputs, outputs):
    put(f"{name}.weight", outputs, inputs)
    put(f"{name}.bias", outputs, fan_in=10)

  def block(name, channels):
    for i in (1, 2):
      put(f"{name}.conv{i}.weight", channels, channels, 3, 3)
      norm = f"{name}.bn{i}"
      put(f"{norm}.weight", channels, fan_in=1)
      put(f"{norm}.bias", channels, fan_in=10)
      put(f"{norm}.running_mean", channels, fan_in=10)
      variance = rng.uniform(0.3, 2.0, channels).astype(np.float32)
      arrays[f"{norm}.running_var"] = variance
      arrays[f"{norm}.num_batches_tracked"] = np.array(5, np.int64)

  picture = CHANNELS[-1] * GRID[0] * GRID[1]
  stoch = STOCH * CLASSES
  feat = DETER + stoch
  name = "encoder_state_dict"
  for i, (inputs, outputs) in enumerate(
    zip((3, *CHANNELS), CHANNELS, strict=False), start=1
  ):
    put(f"{name}.conv{i}.weight", outputs, inputs, 4, 4)
    put(f"{name}.conv{i}.bias", outputs, fan_in=10)
    block(f"{name}.res{i}", outputs)
  linear(f"{name}.fc", picture, HIDDEN)
  name = "decoder_state_dict"
  linear(f"{name}.fc", feat, picture)
  for i, channels in enumerate(CHANNELS, start=1):
    block(f"{name}.res{i}", channels)
  first, second, third, last = CHANNELS
  for i, inputs, outputs in (
    (4, last, third),
    (1, third, second),
    (2, second, first),
    (3, first, 3),
  ):
    put(f"{name}.deconv{i}.weight", inputs, outputs, 4, 4, fan_in=4 * inputs)
    put(f"{name}.deconv{i}.bias", outputs, fan_in=10)
  name = "rssm_cell_state_dict"
  put(f"{name}.gru_cell.weight_ih", 3 * DETER, stoch + ACTIONS)
  put(f"{name}.gru_cell.weight_hh", 3 * DETER, DETER)
  put(f"{name}.gru_cell.bias_ih", 3 * DETER, fan_in=4)
  put(f"{name}.gru_cell.bias_hh", 3 * DETER, fan_in=4)
  linear(f"{name}.prior_net.0", DETER, HIDDEN)
  linear(f"{name}.prior_net.2", HIDDEN, stoch)
  linear(f"{name}.post_net.0", DETER + HIDDEN, HIDDEN)
  linear(f"{name}.post_net.2", HIDDEN, stoch)
  for name in ("reward_predictor_state_dict", "continue_predictor_state_dict"):
    linear(f"{name}.net.0", feat, HEAD)
    linear(f"{name}.net.2", HEAD, 1)
  return arrays


def policy_arrays(seed=1):
  """Random arrays by `part.name` of a small published policy."""
  rng = np.random.default_rng(seed)
  sizes = (DETER + STOCH * CLASSES, UNITS, UNITS)
  arrays = {}
  for part, outputs in (("actor", ACTIONS), ("critic", 1)):
    widths = (*sizes, outputs)
    for i in range(3):
      shape = (widths[i + 1], widths[i])
      name = f"{part}_state_dict.net.{2 * i}"
      weight = rng.normal(0, widths[i] ** -0.5, shape)
      arrays[f"{name}.weight"] = weight.astype(np.float32)
      arrays[f"{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
  return arrays


class Part:
  """Arrays of one state dictionary in float64; BatchNorm updates them."""

  def __init__(self, arrays, part, train=False):
    start = f"{part}."
    self.arrays = {
      name.removeprefix(start): np.array(array, np.float64)
      for name, array in arrays.items()
      if name.startswith(start)
    }
    self.train = train

  def linear(self, name, x):
    return x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"]

  def mlp(self, name, x, layers):
    for i in range(layers - 1):
      x = elu(self.linear(f"{name}.{2 * i}", x))
    return self.linear(f"{name}.{2 * (layers - 1)}", x)

  def norm(self, name, x):
    a = self.arrays
    count = x.size // x.shape[1]
    mean, var = a[f"{name}.running_mean"], a[f"{name}.running_var"]
    if self.train:
      mean = x.mean((0, 2, 3))
      var = ((x - mean[:, None, None]) ** 2).mean((0, 2, 3))
      unbiased = var * count / (count - 1)
      for kind, new in (("mean", mean), ("var", unbiased)):
        old = a[f"{name}.running_{kind}"]
        a[f"{name}.running_{kind}"] = 0.9 * old + 0.1 * new
    x = (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
    return (
      x * a[f"{name}.weight"][:, None, None] + a[f"{name}.bias"][:, None, None]
    )

  def block(self, name, x):
    y = convolve(x, self.arrays[f"{name}.conv1.weight"], 1)
    y = np.maximum(self.norm(f"{name}.bn1", y), 0)
    y = convolve(y, self.arrays[f"{name}.conv2.weight"], 1)
    return np.maximum(x + self.norm(f"{name}.bn2", y), 0)


def encode(part, x):
  """Embeddings of pictures `[N, 3, 144, 160]`."""
  for i in range(1, 5):
    y = convolve(x, part.arrays[f"conv{i}.weight"], 2)
    y += part.arrays[f"conv{i}.bias"][:, None, None]
    x = part.block(f"res{i}", np.maximum(y, 0))
  return part.linear("fc", x.reshape(len(x), -1))


def decode(part, feat):
  """Pictures `[N, 3, 144, 160]` of features."""
  x = part.linear("fc", feat).reshape(len(feat), -1, *GRID)
  for block, deconv in ((4, 4), (3, 1), (2, 2), (1, 3)):
    x = part.block(f"res{block}", x)
    x = convolve_transposed(x, part.arrays[f"deconv{deconv}.weight"])
    x += part.arrays[f"deconv{deconv}.bias"][:, None, None]
    if deconv != 3:
      x = np.maximum(x, 0)
  return sigmoid(x)


def gru(part, x, h):
  """The next hidden state of a GRU cell, gates reset, update, candidate."""
  inputs = part.arrays["gru_cell.weight_ih"] @ x.T
  inputs = inputs.T + part.arrays["gru_cell.bias_ih"]
  hidden = part.arrays["gru_cell.weight_hh"] @ h.T
  hidden = hidden.T + part.arrays["gru_cell.bias_hh"]
  size = h.shape[1]
  reset = sigmoid(inputs[:, :size] + hidden[:, :size])
  update = sigmoid(inputs[:, size : 2 * size] + hidden[:, size : 2 * size])
  new = np.tanh(inputs[:, 2 * size :] + reset * hidden[:, 2 * size :])
  return (1 - update) * new + update * h


def cell_step(part, h, s, action, embed=None):
  """The published step with the most likely classes: `h`, `s` `[N, S * K]`,
  and the logits `[N, S, K]` of prior and posterior."""
  h = gru(part, np.concatenate([s, action], axis=1), h)
  prior = part.mlp("prior_net", h, 2).reshape(len(h), STOCH, CLASSES)
  post = None
  if embed is not None:
    post = part.mlp("post_net", np.concatenate([h, embed], axis=1), 2)
    post = post.reshape(len(h), STOCH, CLASSES)
  likely = (prior if post is None else post).argmax(-1)
  return h, np.eye(CLASSES)[likely].reshape(len(h), -1), prior, post


def log_probs(logits):
  """Log-probabilities `[N, S, K]` of logits `[N, S * K]`."""
  x = logits.reshape(len(logits), STOCH, CLASSES)
  x = x - x.max(-1, keepdims=True)
  return x - np.log(np.exp(x).sum(-1, keepdims=True))


def convolve(x, kernel, stride):
  """`[N, I, H, W]` by `[O, I, h, w]`, padded by 1."""
  height, width = kernel.shape[2:]
  padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
  rows = (padded.shape[2] - height) // stride + 1
  columns = (padded.shape[3] - width) // stride + 1
  y = np.zeros((len(x), len(kernel), rows, columns))
  for a in range(height):
    for b in range(width):
      seen = padded[
        ..., a : a + stride * rows : stride, b : b + stride * columns : stride
      ]
      y += np.einsum("nihw,oi->nohw", seen, kernel[:, :, a, b])
  return y


def convolve_transposed(x, kernel):
  """`[N, I, H, W]` by `[I, O, 4, 4]`, stride 2, padding 1: each input pixel
  adds its kernel to the output."""
  count, _, rows, columns = x.shape
  y = np.zeros((count, kernel.shape[1], 2 * rows + 2, 2 * columns + 2))
  for a in range(4):
    for b in range(4):
      y[..., a : a + 2 * rows : 2, b : b + 2 * columns : 2] += np.einsum(
        "nihw,io->nohw", x, kernel[:, :, a, b]
      )
  return y[..., 1:-1, 1:-1]


def elu(x):
  return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def sigmoid(x):
  return 1 / (1 + np.exp(-x))
