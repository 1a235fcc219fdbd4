"""RAM heads: values by hand, readouts, what they train, and learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import losses
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import ram_heads
from tests.pokedreamer_jax import fakes

_KEY = jax.random.key(0)
_HEADS = (
  "hp_share:5 xp:17 badges:9 dex_owned:4 dex_seen:6 enemy_species:8 "
  "enemy_hp:16 enemy_level:8 money:15 event_flags:9 map:8 y:8 x:8 facing:4 "
  "battle:4 dialog:2"
)
_SIZES = world_model_config.WorldModelConfig(ram_heads=_HEADS).ram_head_sizes


def _ram():
  """Two rows of memory, most of it zero in the first."""
  rows = specs.empty_steps(2)
  rows["party_hp"][1, :3] = (10, 0, 20)
  rows["party_max_hp"][1, :3] = (20, 20, 40)
  rows["party_xp"][1, :2] = (1000, 500)
  rows["badges"][1] = 0b101
  rows["dex_owned"][1] = 9
  rows["dex_seen"][1] = 5
  rows["enemy_species"][1] = 7
  rows["enemy_hp"][1] = 12
  rows["enemy_level"][1] = 3
  rows["money"][1] = 999_999
  rows["event_flags"][1] = 40
  rows["map_id"][1] = 6
  rows["y"][1] = 2
  rows["x"][1] = 1
  rows["facing"][1] = 3
  rows["in_battle"][1] = 255
  rows["dialog_open"][1] = True
  return rows


def test_values_by_hand():
  found = ram_heads.values(_SIZES, _ram())
  assert list(found) == list(_SIZES)
  expected = {
    "hp_share": 30 / 80,
    "xp": 1500,
    "badges": 2,
    "dex_owned": 9,
    "dex_seen": 5,
    "enemy_species": 7,
    "enemy_hp": 12,
    "enemy_level": 3,
    "money": 999_999,
    "event_flags": 40,
    "map": 6,
    "y": 2,
    "x": 1,
    "facing": 3,
    "battle": 3,
    "dialog": 1,
  }
  for name, value in expected.items():
    assert found[name].dtype == np.float32
    np.testing.assert_allclose(found[name], [0, value], err_msg=name)


def test_bins_by_hand():
  np.testing.assert_allclose(
    ram_heads.bins("hp_share", 5), [0, 0.25, 0.5, 0.75, 1]
  )
  np.testing.assert_array_equal(ram_heads.bins("map", 3), [0, 1, 2])
  # In log(1 + x).
  np.testing.assert_allclose(ram_heads.bins("xp", 5), [0, 4, 8, 12, 16])
  largest = {"xp": 6 * 1_250_000, "money": 999_999, "event_flags": 2560}
  assert set(largest) == set(ram_heads.LOG_LIMITS)
  for name, value in largest.items():
    assert np.expm1(ram_heads.bins(name, 9)[-1]) >= value


def test_cross_entropy_by_hand():
  sizes = {"hp_share": 3, "dex_owned": 4}
  outputs = jnp.log(jnp.array([0.2, 0.3, 0.5, 0.1, 0.2, 0.3, 0.4]))
  outputs = jnp.broadcast_to(outputs, (2, 7))
  nats = ram_heads.cross_entropy(sizes, outputs, _ram())
  # A share of 0.375 lies between bins 0 and 0.5: a quarter and three quarters.
  share = -(0.25 * np.log(0.2) + 0.75 * np.log(0.3))
  np.testing.assert_allclose(nats["hp_share"], [-np.log(0.2), share], rtol=1e-5)
  # 999,999 is 13.816 in log(1 + x), between the bins 7 and 14 of three.
  money = ram_heads.cross_entropy({"money": 3}, outputs[:, :3], _ram())["money"]
  share = (np.log(1e6) - 7.0) / 7.0
  expected = -((1 - share) * np.log(0.3) + share * np.log(0.5))
  np.testing.assert_allclose(money, [-np.log(0.2), expected], rtol=1e-5)
  # 9 species are clipped to the last of four bins.
  np.testing.assert_allclose(
    nats["dex_owned"], [-np.log(0.1), -np.log(0.4)], rtol=1e-5
  )


def test_readings_by_hand():
  sizes = {"hp_share": 3, "dex_owned": 4}
  outputs = jnp.log(jnp.array([0.2, 0.3, 0.5, 0.1, 0.2, 0.4, 0.3]))
  found = ram_heads.read(sizes, outputs)
  np.testing.assert_allclose(found["hp_share"].expected, 0.65, rtol=1e-5)
  assert float(found["hp_share"].most_likely) == 1.0
  np.testing.assert_allclose(found["dex_owned"].expected, 1.9, rtol=1e-5)
  assert float(found["dex_owned"].most_likely) == 2.0
  # The mean in log(1 + x) of 0, 8 and 16 is 0.3 * 8 + 0.5 * 16 = 10.4.
  xp = ram_heads.read({"xp": 3}, outputs[:3])["xp"]
  np.testing.assert_allclose(xp.expected, np.expm1(10.4), rtol=1e-4)
  np.testing.assert_allclose(xp.most_likely, np.expm1(16.0), rtol=1e-4)
  wrong = ram_heads.errors(sizes, jnp.stack([outputs, outputs]), _ram())
  np.testing.assert_allclose(wrong["hp_share"], [0.65, 0.275], rtol=1e-5)
  np.testing.assert_allclose(wrong["dex_owned"], [1.9, 7.1], rtol=1e-5)


@pytest.mark.parametrize("gradient", [True, False])
def test_heads_shape_the_features_only_where_they_should(gradient):
  cfg = fakes.config(
    "world_model.ram_heads=hp_share:3 dex_owned:5",
    f"world_model.ram_heads_gradient={gradient}",
  ).world_model
  batch = fakes.on_device(fakes.windows(2, 3))
  head = fakes.params(cfg, noise=0.3)["ram"]
  feat = jnp.linspace(-1.0, 1.0, 6 * cfg.feat_dim).reshape(2, 3, -1)

  def loss(head, feat):
    return losses._ram_loss(cfg, {"ram": head}, batch, feat)

  (to_head, to_feat), metrics = fakes.jit(
    jax.grad(loss, argnums=(0, 1), has_aux=True)
  )(head, feat)
  assert any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(to_head))
  assert bool(jnp.any(to_feat != 0)) == gradient
  per_head = metrics["ram/hp_share"] + metrics["ram/dex_owned"]
  np.testing.assert_allclose(metrics["loss/ram"], per_head, rtol=1e-6)


def test_without_heads_there_is_nothing():
  cfg = fakes.config().world_model
  params = fakes.params(cfg)
  assert "ram" not in params
  assert not world_model.read_ram(
    cfg, params, world_model.initial_state(cfg, (1,))
  )


def test_a_head_without_a_reader_is_refused():
  cfg = fakes.config("world_model.ram_heads=luck:7").world_model
  with pytest.raises(ValueError, match=r"ram_heads: unknown \['luck'\].*'xp'"):
    world_model.init(cfg, _KEY, fakes.table(cfg.tile_vocab))


def test_heads_learn_to_read_one_batch_without_tokens():
  made = fakes.config(
    "world_model.ram=off",
    "world_model.ram_heads=map:8 y:12 x:12 dex_owned:5 xp:17 hp_share:9",
    "train.steps=150",
    "train.warmup_steps=10",
    "train.learning_rate=0.02",
    "train.decode_rows=1",
    "world_model.ram_scale=2",
  )
  cfg = made.world_model
  windows = fakes.windows(4, 8)
  # The picture names the place; let it name these as well.
  windows["dex_owned"] = windows["map_id"]
  windows["party_xp"][..., 0] = 100 * windows["x"].astype(np.uint32)
  windows["party_max_hp"][..., 0] = 40
  windows["party_hp"][..., 0] = 10 * windows["map_id"]
  batch = fakes.on_device(windows)
  update = fakes.jit(training.make_update(made))
  state = training.init_state(made.train, fakes.params(cfg))
  for _ in range(made.train.steps):
    state, metrics = update(state, batch, _KEY)
  scales = {"image": 0.2, "dyn": 1.0, "rep": 0.1, "reward": 1.0, "cont": 1.0}
  total = sum(x * metrics[f"loss/{name}"] for name, x in scales.items())
  np.testing.assert_allclose(
    metrics["loss/total"], total + 2.0 * metrics["loss/ram"], rtol=1e-5
  )
  # Two-hot targets keep some entropy: look at the values instead.
  assert float(metrics["ram_error/hp_share"]) < 0.02
  assert float(metrics["ram_error/xp"]) < 20
  observe = fakes.jit(functools.partial(world_model.observe, cfg))
  seen = observe(state.params, jax.random.key(5), batch).state
  read = world_model.read_ram(cfg, state.params, seen)
  for name, field in (("map", "map_id"), ("y", "y"), ("x", "x")):
    right = np.asarray(read[name].most_likely) == windows[field]
    assert right.mean() > 0.95, name
