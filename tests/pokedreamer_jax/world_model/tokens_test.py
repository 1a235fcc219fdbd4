"""RAM tokens: hand rows, clipping, inverse pair, cross entropy by loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import tokens

_SIX = [5, 6, 7, 8, 9, 10]
_WALKS = {"has_control": 1}
_SIZES = {"battle": 4, "map": 5, "badges": 9}


def _row(**values):
  """One RAM row, `[...]` fields, zeros but for `values`."""
  row = {f.name: np.zeros(f.shape, f.dtype) for f in specs.RAM_FIELDS}
  for name, value in values.items():
    row[name] = np.asarray(value, row[name].dtype)
    assert row[name].shape == np.shape(value)
  return {name: jnp.asarray(value) for name, value in row.items()}


_HALF = {"enemy_hp": 20, "enemy_max_hp": 40}
_OWN = {"party_hp": [1, 2, 20, 4, 5, 6], "party_max_hp": [9, 9, 40, 9, 9, 9]}


@pytest.mark.parametrize(
  ("name", "size", "ram", "value"),
  [
    ("map", 256, {"map_id": 247}, 247),
    ("map", 8, {"map_id": 247}, 7),  # clipped to the last
    ("y", 64, {"y": 9, "x": 3}, 9),
    ("x", 64, {"y": 9, "x": 3}, 3),
    ("facing", 4, {"facing": 2}, 2),
    ("battle", 4, {"in_battle": 2}, 2),
    ("battle", 4, {"in_battle": 255}, 3),  # a blackout
    ("dialog", 2, {"dialog_open": True}, 1),
    ("menu", 2, {"menu_open": True}, 1),
    ("menu_item", 8, {"menu_open": True, "menu_item": 5}, 5),
    ("menu_item", 8, {"menu_open": False, "menu_item": 5}, 0),  # stale
    ("control", 2, {"has_control": True}, 1),
    ("badges", 9, {"badges": 0b1010_0001}, 3),  # a count of bits
    ("badges", 9, {"badges": 255}, 8),
    ("party_size", 7, {"party_size": 6}, 6),
    ("dex_owned", 152, {"dex_owned": 151, "dex_seen": 3}, 151),
    ("level", 101, {"party_level": [12, 99, 0, 0, 0, 0]}, 12),
    ("hp", 1000, {"party_hp": [703, 1, 2, 3, 4, 5]}, 703),
    ("hp", 64, {"party_hp": [703, 1, 2, 3, 4, 5]}, 63),
    ("capture_items", 8, {"capture_items": 5}, 5),
    ("capture_items", 8, {"capture_items": 99}, 7),
    ("enemy_species", 256, {"enemy_species": 200}, 200),
    ("enemy_hp", 64, {"enemy_hp": 40_000}, 63),  # no sign bit
    ("species", 32, {"party_species": [7, 9, 0, 0, 0, 0]}, 7),
    ("max_hp", 96, {"party_max_hp": [68, 1, 2, 3, 4, 5]}, 68),
    ("hp2", 96, {"party_hp": [68, 21, 2, 3, 4, 5]}, 21),
    ("level2", 40, {"party_level": [12, 39, 0, 0, 0, 0]}, 39),
    ("enemy_level", 40, {"enemy_level": 27}, 27),
    ("money", 192, {"money": 15_699}, 156),  # hundreds
    ("money", 8, {"money": 999_999}, 7),
    ("event_flags", 64, {"event_flags": 46}, 46),
    ("dex_seen", 32, {"dex_seen": 20, "dex_owned": 3}, 20),
    ("enemy_max_hp", 64, {"enemy_max_hp": 52, "enemy_hp": 3}, 52),
    ("active_slot", 6, {"active_slot": 5}, 5),
    ("active_species", 32, {"active_slot": 2, "party_species": _SIX}, 7),
    ("active_hp", 96, {"active_slot": 5, "party_hp": _SIX}, 10),
    ("active_max_hp", 96, {"active_slot": 0, "party_max_hp": _SIX}, 5),
    ("move_item", 5, {"move_item": 4}, 4),
    ("menu_wait", 22, {"menu_wait": 0}, 0),
    ("menu_wait", 22, {"menu_wait": 24}, 1),
    ("menu_wait", 22, {"menu_wait": 25}, 2),
    ("menu_wait", 22, {"menu_wait": 480}, 20),
    # A battle's message by frames, what waits longer by steps.
    ("text_wait", 38, {"text_wait": 0}, 0),
    ("text_wait", 38, {"text_wait": 26}, 26),
    ("text_wait", 38, {"text_wait": 27}, 27),
    ("text_wait", 38, {"text_wait": 48}, 27),
    ("text_wait", 38, {"text_wait": 49}, 28),
    ("text_wait", 38, {"text_wait": 288}, 37),
    ("blink_wait", 31, {"blink_wait": 30}, 30),
    ("arriving", 2, {"arriving": True}, 1),
    # At rest 20 of 40 HP are 24 pixels; seen one behind memory.
    ("enemy_slide", 32, _HALF | {"enemy_bar": 25}, 0),
    ("enemy_slide", 32, _HALF | {"enemy_bar": 26}, 2),
    ("enemy_slide", 32, _HALF | {"enemy_bar": 49}, 25),
    ("enemy_slide", 32, _HALF | {"enemy_bar": 20}, 0),  # on its way up
    ("enemy_slide", 32, _HALF | {"enemy_bar": 0}, 0),  # none is drawn
    ("own_slide", 32, _OWN | {"active_slot": 2, "own_bar": 34}, 10),
    ("text", 256, {"text": 0}, 0),
    ("text", 256, {"text": 255}, 1),  # the number modulo 255, plus 1
    ("text", 256, {"text": 65_535}, 1),
    ("text", 256, {"text": 509}, 255),
    # Of another size, it parts those that share a value.
    ("text2", 96, {"text": 0}, 0),
    ("text2", 96, {"text": 255}, 66),
    ("text2", 96, {"text": 510}, 36),
    ("text", 2, {"text": 12_345}, 1),
    ("tile_clock", 168, {"tile_phase": 7, "tile_wait": 1}, 148),
    ("tile_look", 168, {"tile_phase": 7, "tile_wait": 1} | _WALKS, 146),
    ("tile_look", 168, {"tile_phase": 0, "tile_wait": 1} | _WALKS, 167),
    ("tile_look", 168, {"tile_phase": 7, "tile_wait": 1}, 148),  # in a menu
    ("figure_look", 62, {"figure_phase": 1, "figure_wait": 2} | _WALKS, 31),
    ("figure_look", 62, {"figure_phase": 1, "figure_wait": 1} | _WALKS, 30),
    ("active_level", 32, {"active_slot": 2, "party_level": _SIX}, 7),
    ("shade", 7, {"shade": 3}, 3),
    ("heal_items", 16, {"heal_items": 40}, 15),
  ],
)
def test_values_by_hand(name, size, ram, value):
  found = tokens.read({name: size}, _row(**ram))
  assert found.dtype == jnp.int32
  assert found.tolist() == [value]


@pytest.mark.parametrize(
  "text",
  [
    world_model_config.PRACTICE_TOKENS,
    world_model_config.POKEMON_RED_TOKENS,
    world_model_config.VALE_TOKENS,
  ],
)
def test_every_reader_is_configured_in_order(text):
  sizes = world_model_config.WorldModelConfig(tokens=text).token_sizes
  if text == world_model_config.VALE_TOKENS:
    assert set(sizes) <= set(tokens.READERS)
    assert set(tokens.CLOCKS) & set(sizes) == {"tile_look", "figure_look"}
  else:  # tokens of records of every version
    assert not specs.lacking(2) & {f for n in sizes for f in tokens.fields(n)}
  rng = np.random.default_rng(0)
  ram = {
    f.name: rng.integers(0, 2, (3, 2, *f.shape)).astype(f.dtype)
    for f in specs.RAM_FIELDS
  }
  ram |= {name: ram[field] for name, field in tokens.DERIVED.items()}
  together = np.asarray(tokens.read(sizes, ram))
  assert together.shape == (3, 2, len(sizes))
  for i, (name, size) in enumerate(sizes.items()):
    alone = tokens.read({name: size}, ram)
    np.testing.assert_array_equal(together[..., i], alone[..., 0])


def test_fields_are_those_that_a_token_is_read_from():
  assert tokens.fields("text") == ("text",)
  assert set(tokens.fields("menu_item")) == {"menu_item", "menu_open"}
  assert set(tokens.fields("active_hp")) == {"active_slot", "party_hp"}
  names = {field.name for field in specs.RAM_FIELDS}
  for name in tokens.READERS:
    asked = tokens.fields(name)
    assert asked and set(asked) <= names


def test_one_hot_and_numbers_are_inverse():
  rng = np.random.default_rng(1)
  numbers = np.stack(
    [rng.integers(size, size=(6, 2)) for size in _SIZES.values()], axis=-1
  )
  hot = np.asarray(tokens.one_hot(_SIZES, numbers))
  assert hot.shape == (6, 2, 4 + 5 + 9)
  # Battle 1, map 4, badges 0: ones at 1, 4 + 4 and 9.
  by_hand = np.asarray(tokens.one_hot(_SIZES, jnp.array([1, 4, 0])))
  assert np.flatnonzero(by_hand).tolist() == [1, 8, 9]
  assert (hot.sum(-1) == 3).all()
  np.testing.assert_array_equal(tokens.numbers(_SIZES, hot), numbers)


def test_cross_entropy_is_the_loop():
  rng = np.random.default_rng(2)
  logits = rng.normal(size=(3, 18)).astype(np.float32)
  numbers = np.array([[0, 4, 8], [3, 0, 1], [2, 2, 2]])
  found = tokens.cross_entropy(_SIZES, logits, tokens.one_hot(_SIZES, numbers))
  assert list(found) == list(_SIZES)
  start = 0
  for i, (name, size) in enumerate(_SIZES.items()):
    for row in range(3):
      part = logits[row, start : start + size].astype(np.float64)
      expected = np.log(np.exp(part).sum()) - part[numbers[row, i]]
      np.testing.assert_allclose(found[name][row], expected, rtol=1e-5)
    start += size


def test_cross_entropy_and_its_gradient_are_finite_at_extremes():
  logits = jnp.array([1e4] + [-1e4] * 17)
  hot = tokens.one_hot(_SIZES, jnp.array([1, 0, 0]))

  def total(logits):
    return sum(tokens.cross_entropy(_SIZES, logits, hot).values())

  value, grad = jax.value_and_grad(total)(logits)
  # Battle is 20,000 nats wrong; the flat rest is log 5 + log 9.
  np.testing.assert_allclose(value, 2e4 + np.log(45.0), rtol=1e-5)
  assert np.isfinite(grad).all()


def test_without_tokens_everything_is_empty():
  assert tokens.read({}, _row()).shape == (0,)
  assert tokens.one_hot({}, jnp.zeros((4, 0))).shape == (4, 0)
  assert tokens.numbers({}, jnp.zeros((4, 0))).shape == (4, 0)
  assert tokens.cross_entropy({}, jnp.zeros((4, 0)), jnp.zeros((4, 0))) == {}


def test_an_unknown_token_is_refused_with_the_valid_names():
  tokens.check(_SIZES)
  with pytest.raises(ValueError, match=r"'coins'.*badges.*battle.*'y'"):
    tokens.check({"map": 8, "coins": 4})


def test_tokens_that_pictures_do_not_show_have_names():
  tokens.check({"map": 3}, ["event_flags", "map"])  # present or not
  with pytest.raises(ValueError, match=r"unseen_tokens: unknown \['flags'\]"):
    tokens.check({"map": 3}, ["flags"])
