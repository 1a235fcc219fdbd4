"""Models as folders: nothing is lost but the dtype, nothing is trusted."""

import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from pokedreamer_jax import checkpoints
from pokedreamer_jax import whole_files
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.interop import model_folders
from pokedreamer_jax.interop import tensor_files
from pokedreamer_jax.world_model import model as world_model
from tests.pokedreamer_jax import fakes

_ENTRY = {"name": "small", "step": 7, "mark": {"config": "a" * 16, "step": 7}}


def _write(folder, dtype="float16", items=None):
  cfg = fakes.config().world_model
  items = items or {"world_model": fakes.params(cfg, 0.3)}
  model_folders.write(folder, {"stage": "x"}, items, {**_ENTRY, "dtype": dtype})
  return cfg, items


def _rounded(leaf, dtype):
  leaf = np.asarray(leaf)
  if leaf.dtype != np.float32 or dtype == "float32":
    return leaf
  return np.asarray(jnp.asarray(leaf).astype(dtype).astype(jnp.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_comes_back_is_what_was_rounded(tmp_path, dtype):
  _, items = _write(tmp_path, dtype)
  found = model_folders.load_item(tmp_path, "world_model")
  expected = jax.tree.map(lambda x: _rounded(x, dtype), items["world_model"])
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  dtypes = jax.tree.map(lambda leaf: leaf.dtype, found)
  assert dtypes == jax.tree.map(lambda leaf: leaf.dtype, expected)


def test_rounding_again_loses_nothing(tmp_path):
  for dtype in model_folders.DTYPES:
    first, second = tmp_path / dtype, tmp_path / f"{dtype}_again"
    first.mkdir()
    second.mkdir()
    _write(first, dtype)
    again = {"world_model": model_folders.load_item(first, "world_model")}
    _write(second, dtype, again)
    other = model_folders.load_item(second, "world_model")
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
      again["world_model"],
      other,
    )


def test_bytes_of_a_matrix_are_within_half_a_step_of_its_columns(tmp_path):
  rng = np.random.default_rng(0)
  matrix = rng.normal(size=(64, 48)).astype(np.float32)
  matrix *= np.exp(rng.normal(size=48)).astype(np.float32)
  matrix[:, 3] = 0.0
  _write(tmp_path, "int8", {"params": {"kernel": matrix, "bias": matrix[0]}})
  found = model_folders.load_item(tmp_path, "params")
  step = np.abs(matrix).max(axis=0) / 127
  off = np.abs(np.asarray(found["kernel"]) - matrix)
  assert (off <= step / 2 * 1.001).all()
  assert off.max() > 0
  np.testing.assert_array_equal(found["bias"], _rounded(matrix[0], "float16"))


def test_dreams_of_the_folder_are_those_of_the_rounded_parameters(tmp_path):
  cfg, items = _write(tmp_path)
  found = model_folders.load_item(tmp_path, "world_model")
  rounded = jax.tree.map(
    lambda x: jnp.asarray(_rounded(x, "float16")), items["world_model"]
  )
  batch = fakes.on_device(fakes.windows(2, 3))
  see = fakes.jit(
    lambda params: world_model.observe(cfg, params, jax.random.key(0), batch)
  )
  jax.tree.map(np.testing.assert_array_equal, see(found), see(rounded))


def test_a_part_is_read_by_its_template(tmp_path):
  cfg, _ = _write(tmp_path)
  needed = acting.acting_params(cfg, world_model.shapes(cfg))
  found = checkpoints.load_item(tmp_path, "world_model", template=needed)
  assert (
    set(found)
    == set(needed)
    < set(checkpoints.load_item(tmp_path, "world_model"))
  )
  assert checkpoints.latest_step(tmp_path) == 7
  with pytest.raises(ValueError, match="no step 6"):
    checkpoints.load_item(tmp_path, "world_model", step=6)
  with pytest.raises(ValueError, match="no item 'actor'"):
    checkpoints.load_item(tmp_path, "actor")
  wrong = {"chain": {"kernel": jax.ShapeDtypeStruct((3, 3), jnp.float32)}}
  with pytest.raises(ValueError, match="chain/kernel is float32"):
    checkpoints.load_item(tmp_path, "world_model", template=wrong)


def test_the_library_reads_the_file(tmp_path):
  _write(tmp_path, "float16")
  found = safetensors.numpy.load_file(tmp_path / model_folders.ARRAYS)
  mine = tensor_files.decode(
    (tmp_path / model_folders.ARRAYS).read_bytes(), "it"
  )
  assert found.keys() == mine.keys()
  for name, array in found.items():
    np.testing.assert_array_equal(array, mine[name])


def test_what_a_dtype_cannot_hold_is_refused():
  items = {"params": {"kernel": np.array([1e6], np.float32)}}
  with pytest.raises(ValueError, match=r"params/kernel: 1e\+06 is more"):
    model_folders.pack(items, "float16")
  assert model_folders.pack(items, "bfloat16")
  with pytest.raises(ValueError, match="expected finite float32"):
    model_folders.pack({"p": {"k": np.array([np.nan], np.float32)}}, "float16")
  with pytest.raises(ValueError, match="dtype: 'int4'"):
    model_folders.pack(items, "int4")
  with pytest.raises(ValueError, match="without a slash"):
    model_folders.pack({"params": {"a/b": np.zeros(1, np.int32)}}, "float16")


@pytest.mark.parametrize("file", [model_folders.ARRAYS, model_folders.CONFIG])
def test_a_changed_byte_is_seen(tmp_path, file):
  _write(tmp_path)
  path = tmp_path / file
  data = bytearray(path.read_bytes())
  data[-9] ^= 1
  path.write_bytes(data)
  with pytest.raises(ValueError, match="damaged"):
    model_folders.load_item(tmp_path, "world_model")


@pytest.mark.parametrize(
  "changes",
  [
    {"dtype": "F8"},
    {"dtype": 3},
    {"shape": [3]},
    {"shape": [-2]},
    {"shape": [1 << 40]},
    {"shape": "2"},
    {"shape": [1] * 9},
    {"shape": [True, 2]},
    {"data_offsets": [0, 9]},
    {"data_offsets": [8, 16]},
    {"data_offsets": [-8, 0]},
    {"data_offsets": [0]},
    {"data_offsets": None},
  ],
)
def test_a_header_that_does_not_fit_is_refused(changes):
  data = tensor_files.encode({"a": np.zeros(2, np.float32)}, {})
  length = int.from_bytes(data[:8], "little")
  header = json.loads(data[8 : 8 + length])
  header["a"] |= changes
  text = json.dumps(header).encode()
  made = len(text).to_bytes(8, "little") + text + data[8 + length :]
  with pytest.raises(ValueError, match=r"^it: "):
    tensor_files.decode(made, "it")


def test_arrays_do_not_share_bytes_and_leave_none():
  arrays = {"a": np.arange(2, dtype=np.int32), "b": np.zeros(1, np.uint8)}
  data = tensor_files.encode(arrays, {})
  for damaged in (data + b"0", data[:-1], data[:4], b""):
    with pytest.raises(ValueError, match="damaged"):
      tensor_files.decode(damaged, "it")


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_arrays_or_a_line(patch, at):
  data = bytearray(
    tensor_files.encode({"a": np.zeros((2, 3), np.float16)}, {"x": "y"})
  )
  data[at : at + len(patch)] = patch
  try:
    tensor_files.decode(bytes(data), "it")
  except ValueError as error:
    assert str(error).startswith("it")


def test_an_entry_that_lacks_something_is_refused(tmp_path):
  _write(tmp_path)
  path = tmp_path / model_folders.CONFIG
  values = json.loads(path.read_text())
  for name in ("step", "sha256", "mark"):
    entry = {k: v for k, v in values["exported"].items() if k != name}
    changed = whole_files.seal({"stage": "x", "exported": entry})
    path.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=rf"exported.{name}"):
      model_folders.about(tmp_path)


def test_an_atlas_with_message_boxes_comes_back_whole(tmp_path):
  atlas = {
    "texts": np.array([3, 1 << 30], np.int32),
    "boxes": np.array([[7, 65_535]], np.uint16),
    "wholes": np.array([0, 40_000], np.uint16),
    "letters": np.array([0, 255], np.uint8),
  }
  _write(tmp_path, items={"world_model": {"atlas": atlas}})
  found = model_folders.load_item(tmp_path, "world_model")["atlas"]
  for name, array in atlas.items():
    np.testing.assert_array_equal(found[name], array)
    assert found[name].dtype == array.dtype
