"""The published networks: sizes, layers by definition, real PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.networks import v2
from pokedreamer_jax.networks import v2_layers
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import published_reference as reference

_KEY = jax.random.key(0)
_close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


@pytest.fixture(autouse=True)
def _full_precision():
  with jax.default_matmul_precision("highest"):
    yield


def _normal(*shape, seed=0):
  rng = np.random.default_rng([seed, *shape])
  return rng.normal(size=shape).astype(np.float32)


def test_parameter_counts_are_the_published_ones():
  cfg = presets.make("v2").world_model
  params = jax.eval_shape(lambda: world_model.init(cfg, _KEY, None))
  stats = params.pop("batch_stats")
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  assert {name: count(part) for name, part in params.items()} == {
    "encoder": 14_055_776,
    "decoder": 37_671_011,
    "rssm": 4_212_736,
    "reward": 393_729,
    "continue": 393_729,
  }
  assert count(params) == 56_726_981
  # A mean and a variance for each channel of two norms in four blocks.
  assert count(stats["encoder"]) == 2 * 2 * sum(v2.CHANNELS)
  feat = jnp.zeros((1, cfg.feat_dim))
  for module, expected in ((v2.Actor(), 461_320), (v2.Critic(), 459_521)):
    made = jax.eval_shape(functools.partial(module.init, _KEY), feat)
    assert count(made) == expected


def test_fresh_weights_are_spread_as_pytorch_spreads_them():
  picture, flat = jnp.zeros((1, 4, 4, 16)), jnp.zeros((1, 100))
  for module, x, fan_in in (
    (v2_layers.Linear(64), flat, 100),
    (v2_layers.Conv(8, (3, 3), 1, True), picture, 9 * 16),
    # Of a transposed convolution, the outputs of each tap.
    (v2_layers.TransposedConv(8), picture, 16 * 8),
  ):
    for leaf in jax.tree.leaves(module.init(_KEY, x)):
      assert 0.5 < np.abs(leaf).max() * np.sqrt(fan_in) <= 1
      assert leaf.size < 99 or 0.9 < np.abs(leaf).max() * np.sqrt(fan_in)


def test_a_transposed_convolution_adds_kernels():
  x, kernel = _normal(2, 3, 5, 4), _normal(4, 4, 3, 4)  # 4 channels to 3
  expected = reference.convolve_transposed(
    x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
  )
  output = v2_layers.transposed_convolve(x, kernel)
  assert output.shape == (2, 6, 10, 3)
  _close(output, expected.transpose(0, 2, 3, 1))


def test_its_own_gradient_is_that_of_plain_differentiation():
  x, kernel = _normal(2, 3, 5, 4), _normal(4, 4, 3, 4)
  weights = _normal(2, 6, 10, 3)

  def loss(transposed, x, kernel):
    return jnp.sum(weights * jnp.sin(transposed(x, kernel)))

  own, plain = (
    jax.grad(functools.partial(loss, transposed), (0, 1))(x, kernel)
    for transposed in (
      v2_layers.transposed_convolve,
      v2_layers.transposed_convolve.fun,
    )
  )
  for one, other in zip(own, plain, strict=True):
    assert np.abs(other).max() > 1
    _close(one, other)


def test_batch_norm_by_hand():
  # One channel, four values: mean 3, squares 9, 1, 1, 9 of the deviations.
  x = jnp.array([0.0, 2.0, 4.0, 6.0]).reshape(2, 2, 1, 1)
  norm = v2_layers.BatchNorm()
  variables = norm.init(_KEY, x, train=False)
  assert variables["batch_stats"] == {"mean": 0.0, "var": 1.0}
  y, moved = norm.apply(variables, x, train=True, mutable=["batch_stats"])
  _close(y.reshape(-1), np.array([-3, -1, 1, 3]) / np.sqrt(5 + 1e-5))
  # 0.9 of 0 and 0.1 of 3; 0.9 of 1 and 0.1 of the unbiased 20 / 3.
  _close(moved["batch_stats"]["mean"], [0.3])
  _close(moved["batch_stats"]["var"], [0.9 + 2 / 3])
  variables = {**variables, **moved}
  y, same = norm.apply(variables, x, train=False, mutable=["batch_stats"])
  _close(y.reshape(-1), (x.reshape(-1) - 0.3) / np.sqrt(1.5666667 + 1e-5))
  assert same["batch_stats"] == moved["batch_stats"]


def test_initialising_in_training_leaves_the_averages_alone():
  norm = v2_layers.BatchNorm()
  variables = norm.init(_KEY, _normal(4, 3) + 5, train=True)
  np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))


def test_the_initial_state_and_samples_of_the_cell():
  cell = v2.RSSMCell(deter=5, stoch=2, classes=4)
  deter, stoch = cell.get_initial_state((3,))
  np.testing.assert_array_equal(deter, np.zeros((3, 5)))
  np.testing.assert_array_equal(stoch, np.full((3, 8), 0.25))
  log_probs = jax.nn.log_softmax(_normal(3, 2, 4))
  likely = cell.sample_stochastic(_KEY, log_probs, most_likely=True)
  expected = np.eye(4)[np.argmax(log_probs, -1)]
  np.testing.assert_array_equal(likely, expected)
  drawn = cell.sample_stochastic(_KEY, log_probs, temperature=0.5)
  assert set(np.unique(drawn)) == {0.0, 1.0}
  np.testing.assert_array_equal(drawn.sum(-1), np.ones((3, 2)))


@pytest.mark.parametrize("train", [False, True])
def test_the_layers_are_those_of_pytorch(train):
  torch = pytest.importorskip("torch", reason="torch is not installed")
  nn = torch.nn
  tensor = lambda array: torch.from_numpy(np.array(array))

  class Block(nn.Module):
    def __init__(self):
      super().__init__()
      self.conv1 = nn.Conv2d(3, 3, 3, padding=1, bias=False)
      self.bn1 = nn.BatchNorm2d(3)
      self.conv2 = nn.Conv2d(3, 3, 3, padding=1, bias=False)
      self.bn2 = nn.BatchNorm2d(3)

    def forward(self, x):
      y = torch.relu(self.bn1(self.conv1(x)))
      return torch.relu(x + self.bn2(self.conv2(y)))

  torch.manual_seed(0)
  block, x = Block().train(train), _normal(4, 6, 8, 3)
  turn = lambda kernel: kernel.detach().numpy().transpose(2, 3, 1, 0)
  params, stats = {}, {}
  for i in (1, 2):
    norm = getattr(block, f"bn{i}")
    with torch.no_grad():
      norm.weight.uniform_(0.5, 2)
      norm.bias.normal_()
      norm.running_mean.normal_()
      norm.running_var.uniform_(0.5, 2)
    params[f"conv{i}"] = {"kernel": turn(getattr(block, f"conv{i}").weight)}
    params[f"bn{i}"] = {
      "scale": norm.weight.detach().numpy(),
      "bias": norm.bias.detach().numpy(),
    }
    stats[f"bn{i}"] = {
      "mean": norm.running_mean.numpy().copy(),
      "var": norm.running_var.numpy().copy(),
    }
  with torch.no_grad():
    expected = block(tensor(x.transpose(0, 3, 1, 2)))
  output, moved = v2.ResidualBlock().apply(
    {"params": params, "batch_stats": stats},
    x,
    train=train,
    mutable=["batch_stats"],
  )
  _close(output, expected.numpy().transpose(0, 2, 3, 1))
  _close(moved["batch_stats"]["bn2"]["var"], block.bn2.running_var.numpy())
  _close(moved["batch_stats"]["bn1"]["mean"], block.bn1.running_mean.numpy())

  deconv = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1)
  with torch.no_grad():
    expected = deconv(tensor(x.transpose(0, 3, 1, 2))).numpy()
  kernel = turn(deconv.weight)
  bias = deconv.bias.detach().numpy()
  output = v2_layers.transposed_convolve(x, kernel) + bias.reshape(1, 1, 1, 5)
  _close(output, expected.transpose(0, 2, 3, 1))

  gru = nn.GRUCell(12 + 8, 6)
  cell = v2.RSSMCell(deter=6, stoch=3, classes=4, hidden=7, embed=5)
  deter, stoch = cell.get_initial_state((2,))
  action, none = _normal(2, 8), jnp.zeros((2, 0))
  deter = deter + _normal(2, 6)
  variables = cell.init(_KEY, deter, stoch, none, action, jnp.zeros((2, 5)))
  for side in ("ih", "hh"):
    weight, bias = (
      getattr(gru, f"{kind}_{side}").detach().numpy()
      for kind in ("weight", "bias")
    )
    variables["params"] |= {f"gru_{side}": weight.T, f"gru_bias_{side}": bias}
  known = cell.apply(variables, none, action, method="project_known")
  following = cell.apply(variables, deter, stoch, known, method="step")
  joined = np.concatenate([stoch, action], axis=1)
  with torch.no_grad():
    expected = gru(tensor(joined), tensor(deter)).numpy()
  _close(following, expected)


def test_a_turned_kernel_gives_the_same_outputs():
  layer = v2_layers.Linear(5)
  for shape in ((7,), (1, 7), (2, 3, 7)):
    x = _normal(*shape)
    params = layer.init(_KEY, x)["params"]
    turned = v2_layers.turned(params)
    assert sorted(turned) == ["bias", "kernel_turned"]
    assert turned["kernel_turned"].shape == (5, 7)
    found = layer.apply({"params": turned}, x)
    _close(found, layer.apply({"params": params}, x))
    kernel, bias = (np.asarray(params[name]) for name in ("kernel", "bias"))
    _close(found, x @ kernel + bias)
