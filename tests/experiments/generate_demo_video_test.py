"""The clip's dreams against one dream at a time, and its words and colours."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from experiments import generate_demo_video
from experiments.reports import pictures
from pokedreamer_jax import specs
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import imagination
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config()
_CFG = _CONFIG.world_model
_CONTEXT = 3


def test_each_dream_begins_where_the_game_is_seen_again():
  rows, anew = 13, 4  # the last dream is cut off
  params = fakes.params(_CFG, 0.3)
  episode = fakes.steps(rows, 1)
  model = generate_demo_video.Model(_CONFIG, params, None)
  likeliest = mock.patch.object(
    sampling, "inverse_cdf", lambda _, weights: jnp.argmax(weights, -1)
  )
  key = jax.random.key(0)
  with likeliest:
    made = generate_demo_video.dream(model, episode, _CONTEXT, anew, seed=0)
    batch = {name: jnp.asarray(value)[None] for name, value in episode.items()}
    batch["first_action_tm1"] = jnp.full(1, specs.PASS, jnp.uint8)
    observe = fakes.jit(
      lambda batch: world_model.observe(_CFG, params, key, batch).state
    )
    seen = observe(batch)
    step = fakes.jit(
      lambda state, action: imagination.prior_step(
        _CFG, params, key, state, action
      )
    )
    look = fakes.jit(lambda state: world_model.decode(_CFG, params, state))
    state = None
    for t in range(rows):
      there = jax.tree.map(lambda leaf, t=t: leaf[:, t], seen)
      if t < _CONTEXT:
        state = there
      else:
        action = jnp.asarray(episode["action"][t - 1 : t])
        state = step(state, action)
      np.testing.assert_array_equal(made[t], look(state)[0])
      if t >= _CONTEXT - 1 and (t - _CONTEXT + 1) % anew == 0:
        state = there  # the game is seen again
  assert len({frame.tobytes() for frame in made}) > 2


def test_words_and_colours_tell_what_is_right():
  real = fakes.steps(8, 2)
  imagined, luck = real["frame"].copy(), real["frame"].copy()
  imagined[5] = 0  # where luck changes nothing
  imagined[6], luck[6] = 0, 1
  lines = generate_demo_video.captions(real, imagined, luck, _CONTEXT, 3)
  buttons = [specs.ACTIONS[int(action)] for action in real["action"]]
  assert lines[:4] == [
    *(f"the model sees the game ({t} of 3)" for t in (1, 2, 3)),
    f"dream step 1, button {buttons[3]}: every pixel right",
  ]
  assert lines[5] == f"dream step 3, button {buttons[5]}: differs"
  assert lines[6] == (
    f"dream step 1, button {buttons[6]}: differs, as other luck does"
  )
  seen, right, off = pictures.FAINT, pictures.RIGHT, pictures.OFF
  assert generate_demo_video.colours(real, imagined, _CONTEXT) == [
    *[seen] * 3,
    *(right, right, off, off, right),
  ]
