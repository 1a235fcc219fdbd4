"""Further tokens for a trained model: it calculates what it did before."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts as parts_lib
from pokedreamer_jax.world_model import widening
from tests.pokedreamer_jax import fakes

_BARS = "active_max_hp:6 active_hp:6 enemy_max_hp:6 enemy_hp:6"
_ATLAS = (
  *("world_model.atlas=counted", "world_model.atlas_cells=512"),
  *("world_model.relative_tokens=true", "world_model.hp_bars=true"),
  "world_model.packed_chain=true",
  f"world_model.tokens={fakes.TOKENS} facing:4 control:2 {_BARS}",
)


def _wider(cfg, added="hp2:6 level:4"):
  return dataclasses.replace(cfg, tokens=f"{cfg.tokens} {added}")


def _windows():
  batch = fakes.windows(2, 5)
  rng = np.random.default_rng(3)
  for name in ("party_hp", "party_level", "active_slot", "enemy_hp"):
    shape = batch[name].shape
    batch[name] = rng.integers(6, size=shape).astype(batch[name].dtype)
  batch["party_size"] = np.full_like(batch["party_size"], 5)
  return fakes.on_device(batch)


@pytest.mark.parametrize(
  "overrides",
  [(), _ATLAS, (*_ATLAS, "world_model.chain_changes=true")],
  ids=["plain", "atlas", "chained"],
)
@pytest.mark.parametrize("infer", [False, True], ids=["given", "inferred"])
def test_a_wider_model_calculates_what_the_old_one_did(overrides, infer):
  cfg = fakes.config(*overrides).world_model
  wider = _wider(cfg)
  params = fakes.params(cfg, noise=0.3)
  grown = widening.widen(cfg, wider, params)
  shapes = world_model.shapes(wider)
  assert jax.tree.map(np.shape, grown) == jax.tree.map(np.shape, shapes)

  def look(cfg, params, batch):
    seen = world_model.observe(
      cfg, params, jax.random.key(1), batch, infer=infer
    )
    feat = world_model.features(seen.state)
    parts = [
      parts_lib.apply(cfg, params, name, feat)
      for name in ("reward", "continue")
    ]
    picture = world_model.decoder_outputs(cfg, params, feat)
    return seen, parts, picture

  batch = _windows()
  if infer:  # the new tokens' guesses are uniform: the first value, always
    batch |= {"party_hp": batch["party_hp"] * 0}
  before = fakes.jit(functools.partial(look, cfg))(params, batch)
  after = fakes.jit(functools.partial(look, wider))(grown, batch)
  old, new = before[0], after[0]
  kept = cfg.token_dim
  assert float(np.abs(old.token_logits).max()) > 0.1  # else nothing is shown
  for name in ("prior", "post"):
    np.testing.assert_allclose(
      getattr(old, name), getattr(new, name), atol=1e-5
    )
  for name in ("token_logits", "infer_logits"):
    logits = getattr(new, name)
    np.testing.assert_allclose(
      getattr(old, name), logits[..., :kept], atol=1e-5
    )
    np.testing.assert_array_equal(logits[..., kept:], 0.0)
  np.testing.assert_allclose(old.state.deter, new.state.deter, atol=1e-5)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4),
    before[1:],
    after[1:],
  )


def test_tokens_are_added_at_the_end_and_nothing_else_differs():
  cfg = fakes.config().world_model
  widening.check(cfg, _wider(cfg))
  widening.check(cfg, dataclasses.replace(cfg, free_nats=0.5))
  first = dataclasses.replace(cfg, tokens=f"hp2:6 {cfg.tokens}")
  with pytest.raises(ValueError, match=r"tokens: 'hp2:6 .* after them"):
    widening.check(cfg, first)
  with pytest.raises(ValueError, match=r"deter: 99, expected \d+, as the"):
    widening.check(cfg, dataclasses.replace(cfg, deter=99))
  with pytest.raises(ValueError, match="not of this model"):
    widening.widen(_wider(cfg), _wider(_wider(cfg), "hp:3"), fakes.params(cfg))


@pytest.mark.parametrize("added", ["letters:9", "menu_item:4", "text2:7"])
def test_no_token_is_added_that_message_boxes_are_known_by(added):
  cfg = fakes.config(
    *_ATLAS[:2], f"world_model.tokens={fakes.TOKENS} text:9"
  ).world_model
  widening.check(cfg, _wider(cfg, added))  # without boxes any may be
  cfg = dataclasses.replace(cfg, atlas_boxes=10)
  widening.check(cfg, _wider(cfg))
  with pytest.raises(ValueError, match=rf"adds \['{added.split(':')[0]}'\]"):
    widening.check(cfg, _wider(cfg, added))


@pytest.mark.parametrize("added", ["arriving:2", "shade:7", "tile_look:168"])
def test_no_token_is_added_by_which_the_screen_is_another(added):
  plain = fakes.config().world_model
  widening.check(plain, _wider(plain, added))
  cfg = fakes.config(*_ATLAS[:2]).world_model
  name = added.partition(":")[0]
  with pytest.raises(ValueError, match=rf"adds \['{name}'\], by which the sc"):
    widening.check(cfg, _wider(cfg, added))


def test_added_tokens_may_be_unseen_and_the_others_are_as_they_were():
  cfg = fakes.config("world_model.unseen_tokens=map battle").world_model
  names = lambda text: dataclasses.replace(_wider(cfg), unseen_tokens=text)
  widening.check(cfg, names("battle map level"))
  for text in ("map", "map battle y"):
    with pytest.raises(ValueError, match=r"unseen_tokens: .*'map battle'"):
      widening.check(cfg, names(text))


def test_no_token_is_added_that_moves_the_bars():
  cfg = fakes.config(*_ATLAS).world_model
  widening.check(cfg, _wider(cfg, "text_wait:38"))
  with pytest.raises(ValueError, match=r"adds \['enemy_slide'\], which move"):
    widening.check(cfg, _wider(cfg, "text_wait:38 enemy_slide:32"))
  cfg = dataclasses.replace(cfg, hp_bars=False)
  widening.check(cfg, _wider(cfg, "enemy_slide:32"))
