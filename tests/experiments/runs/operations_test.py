from absl.testing import parameterized
import jax
import jax.numpy as jnp

from experiments.runs import operations


class OperationsTest(parameterized.TestCase):
  def test_a_product_is_two_operations_per_output_and_depth(self):
    left, right = jnp.ones((3, 5)), jnp.ones((5, 7))
    self.assertEqual(operations.count(jnp.matmul, left, right), 2 * 3 * 7 * 5)

  def test_a_scan_counts_every_step(self):
    def walk(x, w):
      return jax.lax.scan(lambda c, _: (c @ w, None), x, length=11)[0]

    found = operations.count(jax.jit(walk), jnp.ones((2, 4)), jnp.ones((4, 4)))
    self.assertEqual(found, 11 * 2 * 2 * 4 * 4)

  def test_only_one_branch_counts(self):
    def choose(flag, x):
      return jax.lax.cond(flag, lambda v: v @ v, lambda v: v @ v @ v, x)

    found = operations.count(choose, True, jnp.ones((4, 4)))
    self.assertEqual(found, 2 * 2 * 4**3)

  @parameterized.parameters(1, 2)
  def test_a_convolution(self, stride):
    def conv(x, w):
      return jax.lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
      )

    found = operations.count(
      conv, jnp.ones((2, 8, 6, 3)), jnp.ones((4, 4, 3, 5))
    )
    places = 2 * (8 // stride) * (6 // stride)
    self.assertEqual(found, 2 * places * 4 * 4 * 3 * 5)

  def test_a_transposed_convolution_is_its_convolution_the_other_way(self):
    x, w = jnp.ones((1, 4, 4, 8)), jnp.ones((4, 4, 8, 3))
    up = lambda x, w: jax.lax.conv_transpose(x, w, (2, 2), "SAME")
    # Each of the 4x4 inputs meets each of the 4x4 taps once.
    self.assertEqual(operations.count(up, x, w), 2 * 16 * 16 * 8 * 3)

  def test_a_gradient_costs_about_twice_its_function(self):
    w = jnp.ones((6, 6))
    loss = lambda w, x: jnp.sum(jnp.tanh(x @ w))
    x = jnp.ones((10, 6))
    forward = operations.count(loss, w, x)
    both = operations.count(jax.grad(loss, (0, 1)), w, x)
    self.assertEqual(both, 3 * forward)
