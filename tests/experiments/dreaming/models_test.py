"""The two programs of a step: the better one takes over and changes nothing."""

import dataclasses

import numpy as np
import pytest

from experiments.dreaming import models
from pokedreamer_jax.behaviour import dream_play
from tests.experiments.dreaming import made

_STEPS = 300


def _played(stepper, rows, likely):
  """What is shown of a dream that is set to what was seen now and then."""
  rng, player, shown = np.random.default_rng(1), stepper.nobody, []
  cfg = stepper.model.config.world_model
  for number, row in enumerate(rows):
    follows = number % 25 == 0
    flags = {
      "dreams": not follows,
      "follows": follows,
      "sees": True,
      "shows": True,
      "likely": likely,
      "is_first": number == 0,
    }
    asked = dataclasses.replace(
      stepper.nothing,
      **{name: np.asarray(value) for name, value in flags.items()},
      action=np.asarray(rng.integers(0, 7), np.int32),
      luck=np.asarray(11, np.uint32),
      step=np.asarray(number, np.uint32),
      frame=row["frame"],
      ram=dream_play.ram_of(cfg, row),
    )
    player, seen = stepper.run([(player, asked)])[0]
    shown.append((player.dream.stoch, seen.frame, seen.tokens, seen.choice))
  return [np.stack(parts) for parts in zip(*shown, strict=True)]


def _rows(count):
  game = made.Game()
  rows = [game.begin(made.Start("", 3), None)]
  return rows + [game.step(number % 7) for number in range(count - 1)]


@pytest.mark.parametrize("likely", [False, True])
def test_the_better_program_gives_the_same_frames(likely):
  stepper = models.Stepper(made.model(), players=2)
  stepper.warm_up()
  hurried, rows = stepper._step, _rows(60)
  before = _played(stepper, rows, likely)
  stepper.improve()
  assert stepper._step is not hurried
  for one, other in zip(before, _played(stepper, rows, likely), strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_of_the_model_of_the_package_too():
  stepper = models.Stepper(models.load(None, "chapter_one"), players=1)
  stepper.warm_up()
  rows = _rows(_STEPS)
  before = _played(stepper, rows, False)
  stepper.improve()
  for one, other in zip(before, _played(stepper, rows, False), strict=True):
    np.testing.assert_array_equal(one, other)
