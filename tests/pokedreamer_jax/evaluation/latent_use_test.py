"""Exchanging latents harms a model that uses them, and no other."""

import json
from unittest import mock

import jax
import numpy as np

from pokedreamer_jax.evaluation import device
from pokedreamer_jax.evaluation import latent_use
from pokedreamer_jax.evaluation import references
from tests.pokedreamer_jax import fakes

_CONFIG = fakes.config()
_CFG = _CONFIG.world_model
_CONTEXT = 4


def _measure(decode):
  windows = fakes.obedient_windows(8, _CONTEXT + 5)
  groups = np.arange(8) // 2
  with mock.patch.object(device, "_decode_fn", lambda cfg: decode(windows)):
    found = latent_use.latent_use(
      *(_CFG, fakes.obedient_params(_CFG), jax.random.key(0), windows),
      *(_CONTEXT, groups, 100),
    )
  json.dumps(found, allow_nan=False)
  return found


def test_a_decoder_that_reads_tokens_alone_does_not_notice():
  def decode(windows):
    def run(params, state):
      place = np.asarray(device.places_of(_CFG, state.tokens))
      return fakes.obedient_picture(*np.moveaxis(place, -1, 0))

    return run

  found = _measure(decode)
  for part in (found["posterior"], *found["dream"].values()):
    assert part["exact"]["own"]["mean"] == 1.0
    assert part["exact"]["loss"]["mean"] == 0.0
  assert found["kl"]["mean"] >= 0.0


def test_a_decoder_that_reads_latents_does():
  # A picture of the sampled latents: right only with the very sample that the
  # stored truth was drawn from, so the truth is made here.
  def hashed(stoch):
    return np.packbits(np.asarray(stoch) > 0.5, axis=-1)

  drawn = []

  def decode(windows):
    del windows

    def run(params, state):
      codes = hashed(state.stoch)
      frame = np.zeros((len(codes), 144, 40), np.uint8)
      frame[:, 0, : codes.shape[1]] = codes
      drawn.append(frame)
      return frame

    return run

  _measure(decode)
  # Reported rows in order: the first four batches show the own latents of the
  # posterior (steps 1 and 5), then follow dreams, then the exchanged ones.
  own, other = drawn[0], drawn[4]
  partner = references.others(np.arange(8) // 2)
  np.testing.assert_array_equal(other[:8], own[:8][partner])
  assert not np.array_equal(other[:8], own[:8])


def test_what_the_exchange_costs_is_paired():
  own = {"exact": np.array([1.0, 1.0, 0.0]), "tiles": np.array([0.0, 1.0, 2.0])}
  other = {
    "exact": np.array([0.0, 1.0, 0.0]),
    "tiles": np.array([3.0, 1.0, 5.0]),
  }
  found = latent_use._losses([own, other], np.arange(3), 50)
  np.testing.assert_allclose(found["exact"]["loss"]["mean"], 1 / 3)
  np.testing.assert_allclose(found["tiles"]["loss"]["mean"], 2.0)
  assert set(found) == {"exact", "tiles"}
