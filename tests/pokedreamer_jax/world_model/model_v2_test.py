"""What family v2 changes in the shared world model, dreams and acting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import presets
from pokedreamer_jax.evaluation import dreams
from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import alignment
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from pokedreamer_jax.world_model import parts as parts_lib
from pokedreamer_jax.world_model import progress as progress_lib
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config_v2()
_CFG = _CONFIG.world_model
_PUBLISHED = fakes.config_v2(
  "world_model.action_alignment=published"
).world_model
_KEY = jax.random.key(0)
_alignments = pytest.mark.parametrize(
  "cfg", [_CFG, _PUBLISHED], ids=["previous", "published"]
)


def _params():
  return fakes.params(_CFG, noise=0.05)


@functools.cache
def _observe(cfg):
  """Posterior with the most likely latents."""
  return fakes.most_likely(
    lambda params, batch: world_model.observe(cfg, params, _KEY, batch)
  )


def _batch(streams=2, rows=4, seed=0):
  return fakes.on_device(fakes.windows(streams, rows, seed))


def test_frames_survive_the_way_through_colours():
  packed = jnp.asarray(fakes.screens())
  rgb = packing.to_rgb(packed)
  assert rgb.shape == (12, 144, 160, 3)
  assert set(np.unique(rgb)) <= {np.float32(g / 255) for g in (255, 153, 85, 0)}
  np.testing.assert_array_equal(packing.from_rgb(rgb), packed)


@pytest.mark.parametrize(
  ("colour", "shade"),
  [
    ((205, 205, 205), 0),
    ((203, 203, 203), 1),
    ((120, 120, 120), 1),
    ((118, 118, 118), 2),
    ((43, 43, 43), 2),
    ((42, 42, 42), 3),
    ((255, 80, 0), 2),  # by the mean of the channels, 111.7
  ],
)
def test_a_colour_becomes_the_nearest_grey(colour, shade):
  rgb = jnp.full((144, 160, 3), jnp.array(colour, jnp.float32) / 255)
  shades = packing.unpack(packing.from_rgb(rgb))
  np.testing.assert_array_equal(shades, np.full((144, 160), shade))


def test_the_initial_state_is_uniform():
  state = world_model.initial_state(_CFG, (2,))
  np.testing.assert_array_equal(state.deter, np.zeros((2, 10)))
  np.testing.assert_array_equal(state.stoch, np.full((2, 12), 0.25))
  assert state.tokens.shape == (2, 0)


def test_a_first_row_starts_anew_in_the_middle_of_a_window():
  batch = _batch()
  nowhere = jnp.zeros((2, 4), jnp.bool_)
  batch["is_first"] = nowhere.at[:, 2].set(True)
  whole = _observe(_CFG)(_params(), batch)
  turned = {  # rows 2, 3, 0, 1: the same row begins the window
    name: jnp.roll(value, 2, axis=1) if value.ndim > 1 else value
    for name, value in batch.items()
  }
  fresh = _observe(_CFG)(_params(), turned)
  for one, other in zip(
    jax.tree.leaves(whole.state), jax.tree.leaves(fresh.state), strict=True
  ):
    np.testing.assert_allclose(one[:, 2:], other[:, :2], atol=1e-5)
  # And the row before it makes a difference where it is not first.
  carried = _observe(_CFG)(_params(), batch | {"is_first": nowhere})
  assert np.abs(carried.state.deter - whole.state.deter)[:, 2:].max() > 0.01


@_alignments
def test_a_dream_goes_on_as_observing_does(cfg):
  """The prior's `deter` of the next row is the posterior's, row by row, under
  both alignments: dreams feed each step the action that observing feeds it."""
  batch = _batch(seed=3)
  batch["is_first"] = jnp.zeros((2, 4), jnp.bool_)
  params = _params()
  seen = _observe(cfg)(params, batch)
  actions = alignment.dream_actions(cfg, batch["action"])
  for t in range(3):
    state = jax.tree.map(lambda leaf, t=t: leaf[:, t], seen.state)
    ahead = imagination.prior_step(cfg, params, _KEY, state, actions[:, t])
    np.testing.assert_allclose(
      ahead.deter, seen.state.deter[:, t + 1], atol=1e-5
    )
  wrong = imagination.prior_step(cfg, params, _KEY, state, actions[:, 0])
  assert (actions[:, 2] != actions[:, 0]).any()
  assert np.abs(wrong.deter - seen.state.deter[:, 3]).max() > 1e-3


def test_other_actions_change_a_dream_and_not_its_context():
  cfg = _PUBLISHED  # of the other alignment see `dreams_test`
  windows = fakes.windows(3, 6, seed=2)
  shift = alignment.dream_shift(cfg)
  lively = fakes.params(_CFG, noise=0.3)  # else all frames are one grey

  def dream(action):
    made = dreams.open_loop(
      cfg, lively, _KEY, windows, 3, action=action, most_likely=True
    )
    return made.frame

  own = windows["action"]
  in_context, in_dream = own.copy(), own.copy()
  in_context[:, : 2 + shift] ^= 7
  in_dream[:, 2 + shift] ^= 7
  recorded = dream(None)
  assert recorded.shape == (3, 3, 144, 40)
  np.testing.assert_array_equal(dream(in_context), recorded)
  assert (dream(in_dream) != recorded).any()


def test_frames_in_parts_give_what_they_give_at_once(monkeypatch):
  params = _params()
  packed = jnp.asarray(fakes.screens())
  feat = jax.random.normal(_KEY, (3, 4, _CFG.feat_dim))
  make = lambda: (
    fakes.jit(functools.partial(world_model_v2.embed, _CFG))(params, packed),
    fakes.jit(functools.partial(world_model_v2.decode, _CFG))(params, feat),
  )
  embed, shown = make()
  monkeypatch.setattr(world_model_v2, "_CHUNK", 5)
  parts, shown_parts = make()
  assert shown.shape == (3, 4, 144, 40)
  np.testing.assert_allclose(parts, embed, rtol=1e-4, atol=1e-4)
  assert np.mean(np.asarray(shown_parts != shown)) < 1e-3  # ties of greys


def test_acting_gives_the_states_of_observing():
  batch = _batch(2, 4, seed=5)
  seen = _observe(_CFG)(_params(), batch)
  act = fakes.most_likely(
    lambda *args: world_model.act_step(_CFG, _params(), _KEY, *args)
  )
  state = world_model.initial_state(_CFG, (2,))
  action_tm1 = batch["first_action_tm1"]
  for t in range(4):
    row = {name: v[:, t] for name, v in batch.items() if v.ndim > 1}
    state = act(
      state, row["frame"], acting.ram_of(row), action_tm1, row["is_first"]
    )
    action_tm1 = row["action"]
    np.testing.assert_allclose(state.deter, seen.state.deter[:, t], atol=1e-5)


def test_a_published_agent_acts_before_it_sees_the_frame():
  config = fakes.config_v2(
    "world_model.action_alignment=published",
    "actor_critic.family=v2",
    "actor_critic.units=16",
  )
  actor = actor_critic.init_actor(config.actor_critic, _KEY, _CFG.feat_dim)
  actor = jax.tree.map(lambda leaf: 20 * leaf, actor)  # of a firm opinion
  rows = fakes.windows(4, 3, seed=6)
  rows["is_first"] = np.zeros((4, 3), bool)
  other = rows["frame"][::-1]
  ram = {name: value[:, 0] for name, value in acting.ram_of(rows).items()}

  lively = fakes.params(_CFG, noise=0.3)
  act = acting.make_act(config, lively, actor, greedy=True)

  def play(first_frame):
    state, actions = acting.init_state(_CFG, 4), []
    for frame in (first_frame, rows["frame"][:, 1]):
      state, action = act(state, frame, ram, rows["is_first"][:, 0], _KEY)
      actions.append(np.asarray(action))
    return actions, state

  actions, state = play(rows["frame"][:, 0])
  again, changed = play(other[:, 0])
  np.testing.assert_array_equal(actions[0], again[0])
  assert np.abs(state.model.deter - changed.model.deter).max() > 1e-4
  # The first action is that of the initial state, and the step took it.
  start = world_model.initial_state(_CFG, (4,))
  logits = actor_critic.actor_logits(
    config.actor_critic, actor, world_model.features(start)
  )
  np.testing.assert_array_equal(actions[0], np.argmax(logits, -1))


def test_what_v2_cannot_do_is_refused_in_one_line():
  start = world_model.initial_state(_CFG, (1,))
  reached = progress_lib.nothing((1,))
  with pytest.raises(ValueError, match="one scalar reward"):
    imagination.imagine(_CFG, _params(), _KEY, start, reached, None, 2)
  cfg = behaviour_config.ActorCriticConfig(family="v2")
  with pytest.raises(ValueError, match="critic of one number"):
    actor_critic.init_critic(cfg, _KEY, 5)
  with pytest.raises(ValueError, match="reads_goal: True, family v2 reads"):
    behaviour_config.ActorCriticConfig(family="v2", reads_goal=True)
  with pytest.raises(ValueError, match="no RAM tokens"):
    presets.make("tiny", ["world_model.family=v2"])
  with pytest.raises(ValueError, match="table None"):
    world_model.init(fakes.config().world_model, _KEY, None)


def _step_arguments(lead, embed=True):
  rng = np.random.default_rng(3)
  made = {
    "deter": rng.normal(size=(*lead, _CFG.deter)),
    "stoch": rng.random((*lead, _CFG.stoch_dim)),
    "action": np.eye(8)[rng.integers(8, size=lead)],
  }
  if embed:
    made["embed"] = rng.normal(size=(*lead, _CFG.hidden))
  return {name: jnp.asarray(x, jnp.float32) for name, x in made.items()}


def test_a_single_step_is_that_of_the_scans():
  arrays = _step_arguments((2, 3), embed=False)  # any leading axes
  params = _params()
  deter, stoch, prior, post = world_model_v2.cell_step(
    _CFG, params, None, **arrays
  )
  state = world_model.State(
    deter=arrays["deter"], stoch=arrays["stoch"], tokens=jnp.zeros((2, 3, 0))
  )
  dreamt = imagination.prior_step(
    _CFG, params, _KEY, state, arrays["action"].argmax(-1), most_likely=True
  )
  assert post is None
  np.testing.assert_allclose(deter, dreamt.deter, rtol=1e-6, atol=1e-6)
  np.testing.assert_array_equal(stoch, dreamt.stoch)
  log_probs = parts_lib.apply(
    _CFG, params, "rssm", deter, dreamt.tokens, method="prior"
  )
  np.testing.assert_allclose(
    jax.nn.log_softmax(prior), log_probs, rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize("embed", [True, False], ids=["seen", "imagined"])
def test_a_single_step_draws_by_its_key_from_the_logits_it_returns(embed):
  one = _step_arguments((), embed)
  params = _params()
  step = jax.jit(
    jax.vmap(lambda key: world_model_v2.cell_step(_CFG, params, key, **one))
  )
  keys = jax.random.split(_KEY, 4000)
  _, stoch, prior, post = step(keys)
  np.testing.assert_array_equal(stoch, step(keys)[1])
  logits = (post if embed else prior)[0]
  share = stoch.reshape(-1, _CFG.stoch, _CFG.classes).mean(0)
  # Five standard deviations of a share of 4,000 draws are at most 0.04.
  np.testing.assert_allclose(share, jax.nn.softmax(logits), atol=0.04)
  spread = jax.nn.softmax(logits).max(-1)
  assert (spread < 0.9).all()  # there is something to draw


@pytest.mark.parametrize("key", [None, _KEY], ids=["most likely", "drawn"])
@pytest.mark.parametrize("embed", [True, False], ids=["seen", "imagined"])
def test_gradients_of_a_single_step_are_finite_and_reach_every_input(
  key, embed
):
  arrays = _step_arguments((2,), embed)
  weight = jnp.asarray(np.random.default_rng(4).normal(size=(2, 12)), "f4")

  def loss(params, arrays):
    _, stoch, _, _ = world_model_v2.cell_step(_CFG, params, key, **arrays)
    return jnp.sum(stoch * weight)

  gradients = jax.jit(jax.grad(loss, (0, 1)))(_params(), arrays)
  for leaf in jax.tree.leaves(gradients):
    assert np.isfinite(leaf).all()
  for leaf in jax.tree.leaves(gradients[1]):
    assert np.abs(leaf).max() > 0


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    (
      {"stoch": jnp.zeros((2, 3))},
      r"stoch: shape \(2, 3\), expected \(2, 12\)",
    ),
    ({"action": jnp.zeros(2, jnp.int32)}, r"action: shape \(2,\), expected"),
    ({"embed": jnp.zeros((1, 12))}, r"embed: shape \(1, 12\), expected"),
    ({"deter": jnp.zeros((2, 9))}, r"deter: shape \(2, 9\), expected"),
  ],
)
def test_a_single_step_names_what_does_not_fit(changed, message):
  arrays = _step_arguments((2,)) | changed
  with pytest.raises(ValueError, match=message):
    world_model_v2.cell_step(_CFG, _params(), None, **arrays)


def test_a_single_step_is_of_family_v2():
  with pytest.raises(ValueError, match="family: 'v3', expected 'v2'"):
    world_model_v2.cell_step(
      fakes.config().world_model, {}, None, **_step_arguments((2,))
    )


def test_acting_embeds_alike_by_a_kernel_that_lies_by_outputs():
  params = _params()
  turned = world_model_v2.turned(params)
  assert turned["encoder"]["fc"].keys() == {"bias", "kernel_turned"}
  assert "kernel" in params["encoder"]["fc"]  # these are left as they were
  frames = np.random.default_rng(0).integers(0, 256, (2, 1, 144, 40), np.uint8)
  embeds = [
    np.asarray(world_model_v2.embed(_CFG, each, frames))
    for each in (params, turned)
  ]
  assert np.ptp(embeds[0]) > 0.01
  np.testing.assert_allclose(*embeds, rtol=1e-5, atol=1e-5)
