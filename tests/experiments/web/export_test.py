"""A dream in a page is the dream of the model: scripts run by node."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.web import folder
from experiments.web import packing
from experiments.web import starts as starts_lib
from pokedreamer_jax import specs
from pokedreamer_jax.frames import packing as frame_packing
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import atlas_view
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens
from tests.experiments.web import exported
from tests.pokedreamer_jax import fakes

_LENGTH = 200
_LOGITS = 4  # steps


def _actions(count, length=_LENGTH):
  # By those of seed 1 one tile of 1.4 million is as likely as another to the
  # last bit, and scripts and model may choose differently there.
  rng = np.random.default_rng(2)
  return rng.integers(specs.NUM_ACTIONS, size=(count, length))


def _states(cfg, params, first, actions):
  """Of the model: leaves `[L, N, ...]`."""
  run = fakes.jit(
    functools.partial(imagination.replay_actions, cfg, most_likely=True)
  )
  state = starts_lib.state(cfg, first)
  return run(params, jax.random.key(0), state, jnp.asarray(actions.T))


@exported.needs_node
@pytest.mark.parametrize(
  "overrides", [exported.WHOLE, exported.PLAIN, exported.CHAINED]
)
def test_the_likeliest_dreams_are_those_of_the_model(tmp_path, overrides):
  cfg, params, first = exported.write(tmp_path / "page", overrides)
  actions = _actions(len(first))
  states = _states(cfg, params, first, actions)
  decode = fakes.jit(functools.partial(world_model.decode, cfg))
  frames = np.asarray(decode(params, states))
  numbers = np.asarray(tokens.numbers(cfg.token_sizes, states.tokens))
  dreamt = exported.dream(tmp_path / "page", actions)["runs"]
  for i, run in enumerate(dreamt):
    np.testing.assert_array_equal(run["tokens"], numbers[:, i])
    shown = tiles.decode(exported.table(params), jnp.array(run["tiles"][1:]))
    np.testing.assert_array_equal(shown, frames[:, i])
    last = np.asarray(frame_packing.unpack(jnp.asarray(frames[-1, i])))
    np.testing.assert_array_equal(run["shades"], last.reshape(-1))
  # Of a dream that stands still this would say little.
  assert len(np.unique(frames.reshape(-1, 144 * 40), axis=0)) > 100
  for name in ("map", "y", "battle"):
    column = list(cfg.token_sizes).index(name)
    assert len(np.unique(numbers[..., column])) > 1, name


@exported.needs_node
@pytest.mark.parametrize(
  "overrides", [exported.WHOLE, exported.PLAIN, exported.CHAINED]
)
def test_logits_are_those_of_the_model(tmp_path, overrides):
  cfg, params, first = exported.write(tmp_path / "page", overrides)
  actions = _actions(len(first), _LOGITS)
  states = _states(cfg, params, first, actions)
  start = jax.tree.map(lambda x: x[None], starts_lib.state(cfg, first))
  before = jax.tree.map(
    lambda one, more: jnp.concatenate([one, more[:-1]]), start, states
  )
  logits = token_prior.told_logits(
    cfg, params, states.deter, before.tokens, states.tokens
  )
  prior = parts.apply(
    *(cfg, params, "rssm", states.deter, states.tokens), method="prior"
  )
  prior = sampling.without_uniform(prior, cfg.unimix)
  mixture = world_model.decoder_outputs(
    cfg, params, world_model.features(states)
  )
  dreamt = exported.dream(tmp_path / "page", actions, _LOGITS)["runs"]
  begun = world_model.decoder_outputs(
    cfg, params, world_model.features(starts_lib.state(cfg, first))
  )
  copied = 0
  for i, run in enumerate(dreamt):
    shape = (360, cfg.tile_vocab + 1)
    np.testing.assert_allclose(
      np.reshape(run["first"]["logits"], shape), begun.logits[i], atol=1e-3
    )
    for step, told in enumerate(run["logits"]):
      close = functools.partial(np.testing.assert_allclose, atol=1e-3, rtol=0)
      close(told["deter"], states.deter[step, i])
      close(told["tokens"], logits[step, i])
      own = np.reshape(told["prior"], (cfg.stoch, cfg.classes))
      own = np.asarray(jax.nn.log_softmax(own, axis=-1))
      close(np.maximum(own, np.log(1e-9)), prior[step, i])
      close(np.reshape(told["logits"], shape), mixture.logits[step, i])
      if cfg.atlas_copies:
        known = np.asarray(mixture.copies.log_draw[step, i]) != 0
        copied += known.sum()
        gates = -np.logaddexp(0, np.array(told["gates"]))
        close(gates[known], mixture.copies.log_draw[step, i][known])
  assert copied > 0 or not cfg.atlas_copies


@exported.needs_node
def test_a_screen_between_two_cells_is_that_of_the_model(tmp_path):
  """A dictionary in which shifted tiles are found, the escape's checks too."""
  escape = int(tiles.ESCAPE_WORDS[0])
  art = [0, 0xFFFFFFFF, escape, 0x55555555, 0x0000FFFF, 0xFFFF0000]
  packed = frame_packing.from_tile_words(
    jnp.asarray(np.resize(np.repeat(art, 4), (1, 360, 4)).astype(np.uint32))
  )
  table = tiles.build([np.asarray(packed)], len(art))
  rng = np.random.default_rng(5)
  # Large areas of one tile, so that what is put together is often known.
  window = np.repeat(rng.integers(len(art) + 1, size=(11, 3)), 4, axis=1)
  window = np.repeat(window[..., None], 4, axis=2).astype(np.int32)
  at_rest, aside = [0, 0, 0], [2, 6, 0]
  shifts = [(0, 0), (4, 0), (0, 2), (-3, 0), (0, -7), (8, 8), (2, 6)]
  shifts = [(*at, 0) for at in shifts]
  for light in range(1, len(specs.SHADES)):
    for at in (at_rest, aside):
      shifts.append((*at[:2], light))
  shown = [
    np.asarray(
      atlas_view.screen(
        table, jnp.asarray(window), jnp.array(at[:2]), jnp.array(at[2])
      )
    )
    for at in shifts
  ]
  asked = {
    "words": np.asarray(table.words).reshape(-1).tolist(),
    "window": window.reshape(-1).tolist(),
    "shifts": [(*at[:2], specs.SHADES[at[2]]) for at in shifts],
  }
  assert exported.screens(tmp_path, asked) == [one.tolist() for one in shown]
  assert all((one < len(art)).any() for one in shown)
  assert all((one == len(art)).any() for one in shown)


@exported.needs_node
@pytest.mark.parametrize("faces", [True, False])
def test_a_screen_amid_a_step_stands_where_the_model_has_it(tmp_path, faces):
  sizes = {"facing": 4, "scroll_y": 16, "scroll_x": 16, "arriving": 2}
  rows = np.stack(np.meshgrid(*map(np.arange, sizes.values())), -1)
  rows = rows.reshape(-1, len(sizes))
  looks = packing.configuration(exported.model()[0])["looks"]
  asked = [
    [[int(y), int(x)], looks[way] if faces else None, bool(arrives)]
    for way, y, x, arrives in rows
  ]
  if not faces:
    del sizes["facing"]
    rows = rows[:, 1:]
  expected = atlas_view.shift(sizes, tokens.one_hot(sizes, jnp.asarray(rows)))
  assert exported.standing(tmp_path, asked) == np.asarray(expected).tolist()


@exported.needs_node
def test_luck_and_step_alone_are_chance(tmp_path):
  exported.write(tmp_path / "page")
  actions = np.zeros((3, 30), int)
  runs = [
    exported.dream(tmp_path / "page", actions, luck=luck)["runs"]
    for luck in (5, 5, 6)
  ]
  assert runs[0] == runs[1]
  assert runs[0] != runs[2]
  assert runs[0] != exported.dream(tmp_path / "page", actions)["runs"]


@exported.needs_node
def test_draws_are_as_frequent_as_they_are_likely(tmp_path):
  """First tokens of one start by many lucks: 600 draws, 5 sigma."""
  cfg, params, first = exported.write(tmp_path / "page")
  one = starts_lib.state(cfg, first[:1])
  hot = jax.nn.one_hot(jnp.zeros(1, int), specs.NUM_ACTIONS)
  known = world_model.project_known(cfg, params, one.tokens, hot)
  deter = parts.apply(
    *(cfg, params, "rssm", one.deter, one.stoch, known), method="step"
  )
  logits = token_prior.logits(cfg, params, deter, one.tokens)
  probs = np.asarray(jax.nn.softmax(logits[0, : cfg.token_sizes["battle"]]))
  drawn = np.array(
    exported.dream(tmp_path / "page", np.zeros((1, 600), int), luck=-1)[
      "firsts"
    ]
  )
  share = np.bincount(drawn, minlength=len(probs)) / len(drawn)
  sigma = np.sqrt(probs * (1 - probs) / len(drawn))
  assert (np.abs(share - probs) < 5 * sigma + 1e-6).all(), (share, probs)
  assert (probs < 0.9).all()


def test_what_is_packed_comes_back_as_float16_holds_it():
  cfg, params = exported.model()
  again = packing.rounded(params)
  jax.tree.map(np.testing.assert_array_equal, again, params)
  named = packing.arrays(cfg, params)
  assert not any(name.startswith(("encoder", "reward")) for name in named)
  assert named["rssm.gates.kernel"].dtype == np.float16
  used = (params["atlas"]["pages"].max() + 1) * 64
  assert len(named["atlas.tiles"]) == used < cfg.atlas_cells


def test_a_weight_that_float16_cannot_hold_is_named():
  _, params = exported.model()
  kernel = params["decoder"]["shift"]["kernel"].copy()
  kernel[0, 0] = 1e6
  params["decoder"]["shift"]["kernel"] = kernel
  with pytest.raises(ValueError, match=r"decoder.shift.kernel: 1000000.0"):
    packing.rounded(params)


@pytest.mark.parametrize(
  ("field", "value"),
  [("atlas", "off"), ("decoder", "pixels"), ("compute_dtype", "bfloat16")],
)
def test_a_model_that_the_page_cannot_dream_is_refused(field, value):
  cfg = fakes.config(*exported.WHOLE).world_model
  changes = {field: value}
  if field == "decoder":
    changes["atlas"] = "off"
  other = dataclasses.replace(cfg, **changes)
  with pytest.raises(ValueError, match=f"world_model.{field}: '{value}'"):
    packing.check(other)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
  kept = tmp_path / "kept.txt"
  kept.write_text("mine")
  cfg, params = exported.model()
  with pytest.raises(ValueError, match="--out="):
    folder.write(tmp_path, cfg, params, exported.starts(cfg), exported.NAMES)
  assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_folder_names_no_other_place(tmp_path):
  exported.write(tmp_path / "page")
  for path in sorted((tmp_path / "page").iterdir()):
    text = path.read_text(encoding="utf-8")
    for word in ("://", '"//', "import(", "fetch(", "eval(", "<script>"):
      assert word not in text, (path.name, word)
    if path.name.endswith(".js"):
      assert "\nexport " not in text and "\nimport " not in text, path.name


def test_the_folder_is_a_static_space(tmp_path):
  exported.write(tmp_path / "page")
  card = (tmp_path / "page" / "README.md").read_text(encoding="utf-8")
  _, head, body = card.split("---\n", 2)
  fields = dict(line.split(": ", 1) for line in head.splitlines())
  assert fields["sdk"] == "static"
  assert (tmp_path / "page" / fields["app_file"]).is_file()
  assert exported.NAMES.model in body


def _row(**fields):
  rows = specs.empty_steps(1)
  rows["game_running"][:] = rows["has_control"][:] = True
  return {name: value[0] for name, value in rows.items()} | fields


def test_starts_are_the_first_of_their_kind_that_last():
  home, wild = _row(map_id=1), _row(map_id=1, in_battle=1, enemy_species=2)
  rows = [home, wild, home, home, wild, wild, home, home]
  found = starts_lib.choose(rows, {1: "home"}, "beast {}".format)
  assert found == [("home", 3), ("Wild beast 2", 5)]
  many = [_row(map_id=i // 2) for i in range(60)]
  names = [name for name, _ in starts_lib.choose(many, {}, str, 4)]
  assert names == ["map 0", "map 10", "map 19", "map 29"]
