"""Published arrays, converted, give what the published modules give."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.interop import published
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.networks import v2
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from pokedreamer_jax.world_model import parts
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax import published_reference as reference

_ARRAYS = reference.world_model_arrays()
_CFG = published.world_model_sizes(_ARRAYS, reference.STOCH, reference.CLASSES)
_close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def params():
  return published.world_model_params(_CFG, _ARRAYS)


@pytest.fixture(autouse=True)
def _full_precision():
  with jax.default_matmul_precision("highest"):
    yield


def _pictures(count, seed=0):
  shape = (count, 144, 160, 3)  # three different channels
  rgb = np.random.default_rng(seed).random(shape).astype(np.float32)
  rgb[:, :70] *= 0.3  # and no two corners alike
  rgb[:, :, 90:] **= 2
  return rgb


def _features(count, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(count, _CFG.feat_dim)).astype(np.float32)


def test_sizes_are_read_from_the_arrays():
  assert (_CFG.family, _CFG.ram, _CFG.action_alignment) == (
    "v2",
    "off",
    "published",
  )
  assert (_CFG.deter, _CFG.hidden) == (reference.DETER, reference.HIDDEN)
  assert (_CFG.channels, _CFG.head_units) == (2, reference.HEAD)


def test_the_converted_tree_is_that_of_a_fresh_model(params):
  fresh = jax.eval_shape(
    lambda: world_model.init(_CFG, jax.random.key(0), None)
  )
  chex.assert_trees_all_equal_shapes_and_dtypes(params, fresh)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_pictures_agree_and_so_do_the_running_averages(params, name, train):
  part = reference.Part(_ARRAYS, f"{name}_state_dict", train)
  variables = {
    "params": params[name],
    "batch_stats": params["batch_stats"][name],
  }
  module = world_model_v2.modules(_CFG)[name]
  apply = fakes.jit(
    lambda x: module.apply(variables, x, train=train, mutable=["batch_stats"])
  )
  if name == "encoder":
    x = _pictures(4)
    expected = reference.encode(part, x.transpose(0, 3, 1, 2))
    output, moved = apply(x.reshape(2, 2, 144, 160, 3))  # any leading axes
    output = output.reshape(4, -1)
  else:
    x = _features(4)
    expected = reference.decode(part, x).transpose(0, 2, 3, 1)
    output, moved = apply(x)
  assert np.std(expected, axis=0).max() > 0.01  # inputs make a difference
  _close(output, expected)
  for block, norms in moved["batch_stats"].items():
    for norm, averages in norms.items():
      for kind in ("mean", "var"):
        place = f"{block}.{norm}.running_{kind}"
        _close(averages[kind], part.arrays[place])
        given = _ARRAYS[f"{name}_state_dict.{place}"]
        assert np.allclose(averages[kind], given) != train


def test_the_cell_agrees(params):
  part = reference.Part(_ARRAYS, "rssm_cell_state_dict")
  rng = np.random.default_rng(1)
  deter = rng.normal(size=(5, _CFG.deter))
  stoch = rng.random((5, _CFG.stoch_dim))
  action = np.eye(8)[rng.integers(8, size=5)]
  embed = rng.normal(size=(5, _CFG.hidden))
  cell = functools.partial(parts.apply, _CFG, params, "rssm")
  none = jnp.zeros((5, 0))
  known = cell(none, jnp.asarray(action), method="project_known")
  following = cell(deter, stoch, known, method="step")
  expected = reference.gru(part, np.concatenate([stoch, action], 1), deter)
  _close(following, expected)
  _close(
    cell(deter, none, method="prior"),
    reference.log_probs(part.mlp("prior_net", deter, 2)),
  )
  seen = cell(embed, none, method="project_seen")
  joined = np.concatenate([deter, embed], axis=1)
  _close(
    cell(deter, seen, method="posterior"),
    reference.log_probs(part.mlp("post_net", joined, 2)),
  )


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "imagined"])
@pytest.mark.parametrize("split", [True, False], ids=["S,K", "SK"])
def test_single_steps_agree_with_the_published_ones(params, seen, split):
  part = reference.Part(_ARRAYS, "rssm_cell_state_dict")
  rng = np.random.default_rng(2)
  shape = (5, _CFG.stoch, _CFG.classes) if split else (5, _CFG.stoch_dim)
  expected = (np.zeros((5, _CFG.deter)), np.full(shape, 1 / _CFG.classes))
  h, s = map(jnp.asarray, expected)
  step = fakes.jit(
    lambda *arrays: world_model_v2.cell_step(_CFG, params, None, *arrays)
  )
  for _ in range(3):
    action = np.eye(8)[rng.integers(8, size=5)]
    embed = rng.normal(size=(5, _CFG.hidden)) if seen else None
    h_tm1, s_tm1 = expected[:2]
    expected = reference.cell_step(
      part, h_tm1, s_tm1.reshape(5, -1), action, embed
    )
    h, s, prior, post = step(h, s, action, embed)
    _close(h, expected[0])
    assert s.shape == shape
    _close(s.reshape(5, -1), expected[1])
    _close(prior, expected[2])
    assert (post is None) == (not seen)
    if seen:
      _close(post, expected[3])


def test_heads_agree(params):
  feat = _features(6)
  reward = reference.Part(_ARRAYS, "reward_predictor_state_dict")
  _close(
    parts.apply(_CFG, params, "reward", feat),
    reward.mlp("net", feat, 2)[:, 0],
  )
  cont = reference.Part(_ARRAYS, "continue_predictor_state_dict")
  logit = parts.apply(_CFG, params, "continue", feat)
  _close(
    jax.nn.sigmoid(logit),
    reference.sigmoid(cont.mlp("net", feat, 2)[:, 0]),
  )


def test_the_policy_agrees():
  arrays = reference.policy_arrays()
  cfg = published.actor_critic_sizes(arrays)
  assert (cfg.family, cfg.units) == ("v2", reference.UNITS)
  made = published.actor_critic_params(cfg, _CFG.feat_dim, arrays)
  feat = _features(6)
  logits = reference.Part(arrays, "actor_state_dict").mlp("net", feat, 3)
  expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  _close(actor_critic.actor_logits(cfg, made["actor"], feat), expected)
  value = reference.Part(arrays, "critic_state_dict").mlp("net", feat, 3)[:, 0]
  critic = v2.Critic((cfg.units, cfg.units))
  _close(critic.apply({"params": made["critic"]}, feat), value)


def test_a_whole_window_agrees_with_the_published_alignment(params):
  """Every row's step takes the row's own action, on states that never reset
  but at the start, with the most likely latents."""
  batch = fakes.windows(1, 3, seed=4)  # its first row begins an episode
  observe = fakes.most_likely(
    lambda batch: world_model.observe(_CFG, params, jax.random.key(0), batch)
  )
  seen = observe(fakes.on_device(batch))
  greys = np.array([255, 153, 85, 0]) / 255
  packed = batch["frame"][0]
  shades = (packed[..., None] >> np.arange(0, 8, 2)) & 3
  x = np.repeat(greys[shades].reshape(3, 1, 144, 160), 3, axis=1)
  embed = reference.encode(reference.Part(_ARRAYS, "encoder_state_dict"), x)
  part = reference.Part(_ARRAYS, "rssm_cell_state_dict")
  deter = np.zeros((1, _CFG.deter))
  stoch = np.full((1, _CFG.stoch_dim), 1 / reference.CLASSES)
  for t in range(3):
    action = np.eye(8)[batch["action"][:, t]]
    deter = reference.gru(part, np.concatenate([stoch, action], 1), deter)
    joined = np.concatenate([deter, embed[t : t + 1]], axis=1)
    post = reference.log_probs(part.mlp("post_net", joined, 2))
    stoch = np.eye(reference.CLASSES)[post.argmax(-1)].reshape(1, -1)
    _close(seen.state.deter[:, t], deter)
    _close(seen.post[:, t], post)
    _close(seen.state.stoch[:, t], stoch)
    prior = reference.log_probs(part.mlp("prior_net", deter, 2))
    _close(seen.prior[:, t], prior)


def _without(name):
  return {key: array for key, array in _ARRAYS.items() if key != name}


_WEIGHT = "encoder_state_dict.conv2.weight"


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    (_without(_WEIGHT), rf"missing \['{_WEIGHT}'\], unknown \[\]"),
    (
      {**_ARRAYS, "encoder_state_dict.conv9.bias": np.zeros(2)},
      "unknown .*conv9.bias",
    ),
    (
      {**_ARRAYS, _WEIGHT: np.zeros((4, 2, 3, 3), np.float32)},
      rf"{_WEIGHT}: float32\[4, 2, 3, 3\], expected float32\[4, 2, 4, 4\]",
    ),
    (
      {**_ARRAYS, _WEIGHT: _ARRAYS[_WEIGHT].astype(np.int64)},
      rf"{_WEIGHT}: int64",
    ),
    (
      {**_ARRAYS, _WEIGHT: _ARRAYS[_WEIGHT] * np.float32(np.nan)},
      "not finite",
    ),
    # Finite until it becomes float32.
    ({**_ARRAYS, _WEIGHT: _ARRAYS[_WEIGHT].astype(float) + 1e200}, "finite"),
    (
      {**_ARRAYS, "decoder_state_dict.res1.bn1.running_var": -np.ones(2, "f4")},
      "running_var: below 0",
    ),
  ],
)
def test_what_is_not_published_is_named(arrays, message):
  with pytest.raises(ValueError, match=message) as error:
    published.world_model_params(_CFG, arrays)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0, 1 << 15, 1 << 40])
def test_a_size_that_an_empty_array_tells_is_refused(size):
  name = "rssm_cell_state_dict.gru_cell.weight_hh"
  arrays = {**_ARRAYS, name: np.zeros((0, size), np.float32)}
  with pytest.raises(ValueError, match=f"{name}: axis 1 has size {size}, exp"):
    published.world_model_sizes(arrays, reference.STOCH, reference.CLASSES)


def test_another_number_of_classes_is_refused():
  cfg = published.world_model_sizes(_ARRAYS, 32, 32)
  with pytest.raises(ValueError, match="expected float32"):
    published.world_model_params(cfg, _ARRAYS)
  name = "rssm_cell_state_dict.gru_cell.weight_hh"
  with pytest.raises(ValueError, match=f"{name}: missing"):
    published.world_model_sizes(_without(name), 3, 4)
