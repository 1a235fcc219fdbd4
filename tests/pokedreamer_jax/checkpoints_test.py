"""Checkpoints: whole or absent, partial restore, clear refusals."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from absl.testing import absltest
from absl.testing import parameterized
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pokedreamer_jax import checkpoints


@flax.struct.dataclass
class _Norm:
  scale: jax.Array
  count: jax.Array


def _items(value):
  params = {"a": {"w": jnp.full((3, 4), value)}, "b": jnp.arange(3)}
  tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
  return {
    "params": params,
    "opt": tx.init(params),
    "rng": {"key": jax.random.key(int(value))},
    "norm": _Norm(jnp.ones(2), jnp.int32(7)),
  }


def _templates(items):
  return jax.eval_shape(lambda: items)


def _raw(leaf):
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    return np.asarray(jax.random.key_data(leaf))
  return np.asarray(leaf)


# Saves steps of growing value until killed; says when step 2 is complete.
_SAVER = """
import sys, jax.numpy as jnp
from pokedreamer_jax import checkpoints
store = checkpoints.Store(sys.argv[1])
for step in range(1, 1000):
  tree = {"w": [jnp.full((512, 512), float(step)) for _ in range(24)]}
  store.save(step, {"params": tree}, {"step": step})
  if step == 2:
    store.wait()
    print("ready", flush=True)
"""


class CheckpointsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )

  def test_restores_every_kind_of_leaf(self):
    items = _items(5.0)
    store = checkpoints.Store(self.directory)
    store.save(3, items, {"step": 3, "generations": [[0, "abc"]]})
    restored, loop = store.restore(_templates(items))
    store.close()
    self.assertEqual(loop, {"step": 3, "generations": [[0, "abc"]]})
    self.assertEqual(
      jax.tree.structure(restored), jax.tree.structure(dict(items))
    )
    for ours, theirs in zip(
      jax.tree.leaves(items), jax.tree.leaves(restored), strict=True
    ):
      self.assertEqual(ours.dtype, theirs.dtype)
      np.testing.assert_array_equal(_raw(ours), _raw(theirs))

  def test_keeps_the_latest_and_the_best(self):
    store = checkpoints.Store(self.directory, keep=2, best="score")
    for step, score in enumerate([0.1, 0.9, 0.3, 0.2, 0.4]):
      store.save(step, {"params": {"w": jnp.ones(2)}}, {}, {"score": score})
    store.wait()
    self.assertEqual(store.steps(), [1, 3, 4])
    self.assertEqual(store.latest_step(), 4)
    store.close()

  def test_the_best_stays_the_best_in_another_process(self):
    def save(store, step, loss):
      metrics = None if loss is None else {"loss": loss}
      store.save(step, {"params": {"w": jnp.ones(2)}}, {}, metrics)

    older = checkpoints.Store(self.directory)  # of before there was a best
    save(older, 0, None)
    older.close()
    for losses in ((0.5, 0.1, 0.3, None), (0.2, None, 0.4)):
      store = checkpoints.Store(
        self.directory, keep=1, best="loss", best_is_high=False
      )
      for loss in losses:
        save(store, store.latest_step() + 1, loss)
      store.close()
      self.assertEqual(checkpoints.best_step(self.directory, "loss", False), 2)
    self.assertEqual(checkpoints._complete_steps(self.directory), [2, 7])
    self.assertIsNone(checkpoints.best_step(self.directory / "no", "loss"))

  def test_multiples_of_a_number_stay(self):
    store = checkpoints.Store(self.directory, keep=1, keep_every=3)
    for step in range(1, 9):
      store.save(step, {"params": {"w": jnp.ones(2)}}, {})
    store.wait()
    self.assertEqual(store.steps(), [3, 6, 8])
    store.close()

  def test_best_may_be_the_lowest(self):
    store = checkpoints.Store(
      self.directory, keep=1, best="loss", best_is_high=False
    )
    for step, loss in enumerate([0.5, 0.1, 0.3]):
      store.save(step, {"params": {"w": jnp.ones(2)}}, {}, {"loss": loss})
    store.wait()
    self.assertEqual(store.steps(), [1, 2])
    store.close()

  def test_saving_a_stored_step_again_changes_nothing(self):
    store = checkpoints.Store(self.directory)
    store.save(1, _items(1.0), {"n": 1})
    store.save(1, _items(2.0), {"n": 2})
    _, loop = store.restore({})
    self.assertEqual(loop, {"n": 1})
    store.close()

  def test_players_read_a_part_of_one_item(self):
    items = _items(2.0)
    store = checkpoints.Store(self.directory / "checkpoints")
    store.save(1, items, {"step": 1})
    store.close()
    template = {"a": {"w": jax.ShapeDtypeStruct((3, 4), jnp.float32)}}
    part = checkpoints.load_item(self.directory, "params", template=template)
    self.assertEqual(list(part), ["a"])
    np.testing.assert_array_equal(part["a"]["w"], items["params"]["a"]["w"])
    whole = checkpoints.load_item(self.directory, "params")
    np.testing.assert_array_equal(whole["b"], items["params"]["b"])
    loop = checkpoints.load_item(self.directory, "loop")
    self.assertEqual(loop, {"step": 1})

  def test_leaves_go_to_the_sharding_asked_for(self):
    store = checkpoints.Store(self.directory)
    store.save(1, {"params": {"w": jnp.arange(8.0)}}, {})
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    sharding = jax.sharding.NamedSharding(
      mesh, jax.sharding.PartitionSpec("data")
    )
    shape = jax.ShapeDtypeStruct((8,), jnp.float32, sharding=sharding)
    items, _ = store.restore({"params": {"w": shape}})
    self.assertEqual(items["params"]["w"].sharding, sharding)
    store.close()

  @parameterized.parameters(
    ({"w": jnp.zeros((2, 3))}, r"w is float32\[2, 2\], expected float32\[2, 3"),
    ({"w": jnp.zeros((2, 2), jnp.int32)}, "expected int32"),
    ({"v": jnp.zeros((2, 2))}, "v is absent"),
    ({}, "w is .*, expected absent"),
  )
  def test_names_what_does_not_fit(self, template, message):
    store = checkpoints.Store(self.directory)
    store.save(1, {"params": {"w": jnp.zeros((2, 2))}}, {})
    with self.assertRaisesRegex(ValueError, message):
      store.restore({"params": template})
    store.close()

  def test_names_what_is_missing(self):
    with self.assertRaisesRegex(ValueError, "no complete step"):
      checkpoints.load_item(self.directory, "params")
    store = checkpoints.Store(self.directory)
    store.save(4, {"params": {"w": jnp.zeros(2)}}, {})
    store.wait()
    with self.assertRaisesRegex(ValueError, r"no step 9, found \[4\]"):
      store.restore({}, step=9)
    with self.assertRaisesRegex(ValueError, "no item 'actor' in .*params"):
      checkpoints.load_item(self.directory, "actor")
    with self.assertRaisesRegex(ValueError, "one leaf"):
      store.save(5, {"params": jnp.zeros(2)}, {})
    store.close()

  def test_kill_while_saving_leaves_the_latest_complete(self):
    for delay_s in (0.0, 0.07):
      directory = self.directory / str(delay_s)
      saver = subprocess.Popen(
        [sys.executable, "-c", _SAVER, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
      )
      with saver:
        self.assertEqual(saver.stdout.readline(), "ready\n")
        time.sleep(delay_s)
        saver.send_signal(signal.SIGKILL)
      latest = checkpoints.latest_step(directory)
      store = checkpoints.Store(directory)
      self.assertEqual(store.latest_step(), latest)
      shape = jax.ShapeDtypeStruct((512, 512), jnp.float32)
      items, loop = store.restore({"params": {"w": [shape] * 24}})
      self.assertEqual(loop, {"step": latest})
      for leaf in items["params"]["w"]:
        np.testing.assert_array_equal(leaf, latest)
      leftovers = [p.name for p in directory.iterdir() if "tmp" in p.name]
      self.assertEmpty(leftovers)
      store.close()


def test_without_room_nothing_is_written_and_the_step_before_stays(
  tmp_path, monkeypatch
):
  store = checkpoints.Store(tmp_path)
  items = {"params": {"w": jnp.zeros((512, 1024)), "n": 3}}  # 2 MiB
  store.save(1, items, {})
  store.wait()
  room = shutil.disk_usage(tmp_path)._replace(free=3 << 20)
  monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
  with pytest.raises(OSError, match="needs 4 MiB, 3 MiB are free") as error:
    store.save(2, items, {})
  assert error.value.errno == errno.ENOSPC
  store.close()
  assert checkpoints.latest_step(tmp_path) == 1


if __name__ == "__main__":
  absltest.main()
