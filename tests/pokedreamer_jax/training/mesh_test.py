"""Several devices: the same numbers as one, layout, checkpoints, processes."""

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.training import mesh as meshes
from pokedreamer_jax.training import world_model as training
from pokedreamer_jax.world_model import model as world_model
from tests import conftest
from tests.data_tools import fakes as data_fakes
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.training import mesh_programs

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_PROGRAMS = "tests.pokedreamer_jax.training.mesh_programs"
_WHOLE = "data=1,fsdp=1"
_MESHES = {"data=-1,fsdp=1": 1.0, "data=2,fsdp=4": 0.3}  # most that is held


def _start(devices, *arguments):
  count = f"--xla_force_host_platform_device_count={devices}"
  return subprocess.Popen(
    [sys.executable, "-m", _PROGRAMS, *map(str, arguments)],
    cwd=_ROOT,
    env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(_ROOT)}
    | {"XLA_FLAGS": f"{conftest.QUICK_XLA} {count}"},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _result(process):
  out, err = process.communicate(timeout=600)
  assert process.returncode == 0, err[-3000:]
  return json.loads(out.splitlines()[-1])


def _run(devices, *arguments):
  return _result(_start(devices, *arguments))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  directory = tmp_path_factory.mktemp("data")
  episodes = [(n, 60 + n, "random") for n in range(4)]
  data_fakes.write(directory, "made-up", episodes)
  return directory


@pytest.fixture(scope="module")
def runs(data):
  """By mesh, the run on eight devices; fails where one is traced again."""
  return _run(8, "updates", data, _WHOLE, *_MESHES)


@pytest.fixture(scope="module")
def alone(runs):
  """The run on one device of eight."""
  return runs[_WHOLE]


@pytest.fixture(scope="module")
def kinds(data):
  """By kind, the run on one device and that on eight."""
  return _run(8, "kinds", data, "pixels", "v2")


def test_one_device_holds_everything(alone):
  assert (alone["devices"], alone["held"]) == (1, 1.0)
  assert alone["donated"]
  assert alone["decoded"] == [5]
  assert len(set(alone["losses"])) == len(alone["losses"]) > 3


@pytest.mark.parametrize(("mesh", "most"), _MESHES.items())
def test_eight_devices_give_the_losses_of_one(runs, alone, mesh, most):
  found = runs[mesh]
  assert found["devices"] == 8
  np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-5)
  assert found["donated"]
  assert found["sharding_kept"]
  assert found["decoded"] == [1]  # five rows, shared out
  assert found["moments_lie_with_parameters"]
  assert (found["held"] < 1.0) == (most < 1.0)
  assert found["held"] <= most


@pytest.mark.parametrize("kind", ["pixels", "v2"])
def test_other_codecs_and_families_give_the_losses_of_one_device(kinds, kind):
  whole, cut = kinds[kind]
  # BatchNorm by the batch in the updates, by its averages in validation.
  np.testing.assert_allclose(cut["losses"], whole["losses"], rtol=1e-5)
  assert cut["validated"].keys() == whole["validated"].keys()
  for name, value in whole["validated"].items():
    np.testing.assert_allclose(
      cut["validated"][name], value, rtol=1e-4, err_msg=name
    )
  assert cut["moments_lie_with_parameters"]
  assert cut["held"] < 0.5 < whole["held"] == 1.0


def test_v2_decodes_a_share_of_the_rows_on_each_device(kinds):
  whole, cut = kinds["v2"]
  assert max(whole["decoded"]) == 8 * 6  # encoded, and 8 * 5 decoded
  assert 8 * 5 in whole["decoded"]
  assert 5 in cut["decoded"] and max(cut["decoded"]) <= 6  # of one window


def test_an_atlas_grows_on_eight_devices_as_on_one(data):
  found = _run(8, "grown", data, _WHOLE, "data=2,fsdp=4")
  whole, cut = found[_WHOLE], found["data=2,fsdp=4"]
  assert len(set(whole["losses"])) == len(whole["losses"]) > 3
  np.testing.assert_allclose(cut["losses"], whole["losses"], rtol=1e-5)
  for result in (whole, cut):  # traced once, or the program fails
    assert result["donated"] and result["sharding_kept"]
  assert cut["moments_lie_with_parameters"] and cut["held"] < 0.3
  assert whole["cut"] == []
  assert [name.split("'")[-2] for name in cut["cut"]] == [
    *("tiles", "cells", "cells")  # what is known, and two learned vectors
  ]


def test_a_checkpoint_moves_from_eight_devices_to_one_and_back(
  data, alone, tmp_path
):
  found = _run(8, "restored", data, tmp_path)
  assert found["same"] == [True, True]
  assert found["held"][0] == 1.0 > 0.3 > found["held"][1]
  np.testing.assert_allclose(found["losses"], alone["losses"][:3], rtol=1e-5)


def test_two_processes_with_half_a_batch_each_give_the_losses_of_one(
  data, alone
):
  with socket.socket() as listener:
    listener.bind(("localhost", 0))
    address = f"localhost:{listener.getsockname()[1]}"
  pair = [_start(4, "process", data, address, i, 2) for i in range(2)]
  results = list(map(_result, pair))
  for found in results:
    assert found["devices"] == 8
    assert found["largest"] == 5  # of 5 and 4
    assert found["local"] == results[0]["local"]
    assert found["local"][1] == [1]
    assert found["local_rows"] == 4
    assert found["held"] < 0.6
    np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-5)


def test_the_update_of_a_mesh_lowers_for_an_accelerator():
  found = _run(8, "lowered")
  assert found.keys() == presets.PRESETS.keys() > mesh_programs.ATLASES.keys()
  for name, result in found.items():
    more = ["cuda"] if name in mesh_programs.ATLASES else []
    assert result["stablehlo"] == ["tpu", *more], name
    assert result["cut"] > 0, name


def _mesh(text, count, batch_size=24):
  cfg = config_lib.TrainConfig(mesh=text, batch_size=batch_size)
  return meshes.make(cfg, jax.devices()[:1] * count)


@pytest.mark.parametrize(
  ("text", "count", "batch_size", "message"),
  [
    ("data=4", 2, 24, r"train\.mesh: 'data=4' does not fit the 2 devices"),
    ("data=-1,fsdp=3", 8, 24, r"'data=-1,fsdp=3' does not fit the 8 devices"),
    ("data=-1,fsdp=4", 2, 24, r"does not fit the 2 devices"),
    ("data=-1", 8, 12, r"batch_size: 12, expected a multiple of the 8 devices"),
  ],
)
def test_a_mesh_that_cannot_be_says_why(text, count, batch_size, message):
  with pytest.raises(ValueError, match=message) as caught:
    _mesh(text, count, batch_size)
  assert "\n" not in str(caught.value)


def test_what_is_cut_by_hand():
  devices = jax.sharding.AbstractMesh((2, 4), config_lib.MESH_AXES)
  state = {
    "matrix": jnp.zeros((64, 8)),
    "wide": jnp.zeros((8, 128)),
    "odd": jnp.zeros((4, 129)),
    "prime": jnp.zeros((127, 5)),
    "small": jnp.zeros((16, 16)),
    "scalar": jnp.zeros(()),
  }
  found = meshes.state_shardings(devices, state, min_size=500)
  spec = jax.sharding.PartitionSpec
  assert {name: s.spec for name, s in found.items()} == {
    "matrix": spec("fsdp", None),
    "wide": spec(None, "fsdp"),
    "odd": spec("fsdp", None),  # 4 does not divide 129
    "prime": spec(None, None),
    "small": spec(None, None),
    "scalar": spec(),
  }
  alone = jax.sharding.AbstractMesh((8, 1), config_lib.MESH_AXES)
  shardings = meshes.state_shardings(alone, state, min_size=1)
  assert all(s.is_fully_replicated for s in shardings.values())


def test_one_device_is_the_default_however_many_there_are():
  (device,) = _mesh(config_lib.TrainConfig().mesh, 8, batch_size=5).devices.flat
  assert device == jax.devices()[0]


def test_on_one_device_it_is_the_plain_update():
  # To the last bit only if nothing in the program speaks of sharding.
  cfg = fakes.config("train.batch_size=2", "train.seq_len=3")
  params = jax.eval_shape(
    functools.partial(world_model.init, cfg.world_model),
    jax.random.key(0),
    fakes.table(cfg.world_model.tile_vocab),
  )
  state = jax.eval_shape(
    functools.partial(training.init_state, cfg.train), params
  )
  batch = fakes.on_device(fakes.windows(2, 3))
  update = meshes.jit_update(meshes.make(cfg.train), cfg, state)
  found = update.trace(state, batch, jax.random.key(0)).jaxpr
  assert "sharding_constraint" not in str(found)
  plain = jax.make_jaxpr(training.make_update(cfg))
  expected = plain(state, batch, jax.random.key(0))
  assert len(str(found)) > 1000
  assert [e.primitive for e in found.eqns] == [
    e.primitive for e in expected.eqns
  ]
