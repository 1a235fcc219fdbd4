"""Numbers over bins: symlog, and the loss and the mean by hand."""

import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.networks import two_hot


def test_symexp_undoes_symlog():
  x = jnp.array([-500.0, -1.0, 0.0, 0.3, 7.0, 2000.0])
  np.testing.assert_allclose(two_hot.symexp(two_hot.symlog(x)), x, rtol=1e-5)


def test_loss_and_mean_by_hand():
  bins = jnp.array([0.0, 1.0, 5.0])
  logits = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]))
  # 0.3 + 2.5 and 0.3 + 0.5.
  np.testing.assert_allclose(two_hot.mean(logits, bins), [2.8, 0.8], rtol=1e-5)
  # 2 lies a quarter of the way from 1 to 5; 9 is clipped to the last bin.
  expected = [-0.75 * np.log(0.3) - 0.25 * np.log(0.5), -np.log(0.1)]
  found = two_hot.cross_entropy(logits, jnp.array([2.0, 9.0]), bins)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
