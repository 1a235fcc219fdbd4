"""Training over several devices: where state and batches lie.

Devices form a grid with the axes `data` and `fsdp`. Every device works on its
share of the batch. Along `fsdp` the large arrays of the state (parameters and
the optimiser's moments) are cut into shares as well, and the parameters are
put together once an update (after Rajbhandari et al. 2020, ZeRO). One program
is compiled for all devices, also over several processes: each of them calls
the same functions and brings its own rows of the batch.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.training import world_model as training

# Elements from which an array is cut along `fsdp`; cutting smaller ones costs
# more in messages than it saves in memory.
MIN_SHARED_SIZE = 2**16


def make(
  cfg: config_lib.TrainConfig, devices: Sequence[jax.Device] | None = None
) -> jax.sharding.Mesh:
  """The grid of devices that `cfg.mesh` asks for.

  Args:
    cfg: gives the grid and the batch it has to share out.
    devices: the devices of all processes, `jax.devices()` if None.

  Raises:
    ValueError: not so many devices, or they cannot share the batch evenly.
  """
  devices = jax.devices() if devices is None else list(devices)
  sizes = cfg.mesh_sizes
  total = math.prod(sizes.values())
  if total < 0:  # one axis takes all devices that the other leaves
    rest = len(devices) // -total
    sizes = {name: rest if n == -1 else n for name, n in sizes.items()}
    total = rest * -total
  # Some may be left over where nobody waits for them.
  exact = -1 in cfg.mesh_sizes.values() or jax.process_count() > 1
  if not 0 < total <= len(devices) or (exact and total < len(devices)):
    raise ValueError(
      f"train.mesh: {cfg.mesh!r} does not fit the {len(devices)} devices"
    )
  if cfg.batch_size % total:
    raise ValueError(
      f"train.batch_size: {cfg.batch_size}, expected a multiple of the {total} "
      f"devices of train.mesh {cfg.mesh!r}"
    )
  grid = np.array(devices[:total]).reshape(tuple(sizes.values()))
  return jax.sharding.Mesh(grid, tuple(sizes))


def state_shardings(
  mesh: jax.sharding.Mesh, state: Any, min_size: int = MIN_SHARED_SIZE
) -> Any:
  """Where each array of a pytree lies, by its size alone.

  An array of at least `min_size` elements is cut along its largest axis that
  `fsdp` divides; others are copied to every device. The rule looks at shapes
  only, so that a moment lies where its parameter does.
  """
  share = mesh.shape["fsdp"]

  def place(leaf):
    spec: list[str | None] = [None] * len(leaf.shape)
    cut = [i for i, size in enumerate(leaf.shape) if size % share == 0]
    if share > 1 and math.prod(leaf.shape) >= min_size and cut:
      spec[max(cut, key=lambda i: leaf.shape[i])] = "fsdp"
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))

  return jax.tree.map(place, state)


def batch_sharding(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """Where batches `[B, ...]` lie: each device has its own rows."""
  return jax.sharding.NamedSharding(
    mesh, jax.sharding.PartitionSpec(tuple(mesh.axis_names))
  )


def spread(mesh: jax.sharding.Mesh, rows: Any) -> Any:
  """Shares a pytree of rows `[N, ...]` out over all devices, inside `jit`."""
  return jax.lax.with_sharding_constraint(rows, batch_sharding(mesh))


def gather(mesh: jax.sharding.Mesh, weights: Any) -> Any:
  """Puts the shares of arrays together on every device, inside `jit`.

  Once an update: left to itself, XLA cuts the activations as the weights are,
  and gathers the recurrent weights anew for every row of a window.
  """
  return jax.lax.with_sharding_constraint(weights, _everywhere(mesh))


def place_state(
  mesh: jax.sharding.Mesh, state: Any, min_size: int = MIN_SHARED_SIZE
) -> Any:
  """A pytree of arrays, laid out over the mesh.

  Every process gives the same whole arrays, and they must not be used again:
  what stays on its device is not copied. The result also serves as the
  template from which a checkpoint of any other mesh is restored onto this one.
  """

  def place(leaf, sharding):
    if jax.process_count() == 1:
      return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(
      whole.shape, sharding, lambda index: whole[index]
    )

  return jax.tree.map(place, state, state_shardings(mesh, state, min_size))


def shapes_on(
  mesh: jax.sharding.Mesh, shapes: Any, min_size: int = MIN_SHARED_SIZE
) -> Any:
  """Shapes with the place that `place_state` would give each array.

  The template from which a checkpoint is restored where no arrays are there.
  """
  return jax.tree.map(
    lambda leaf, sharding: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=sharding
    ),
    shapes,
    state_shardings(mesh, shapes, min_size),
  )


def place_batch(
  mesh: jax.sharding.Mesh, batch: Mapping[str, np.ndarray]
) -> dict[str, jax.Array]:
  """A global batch `[B, ...]` of what each process holds of it.

  Args:
    mesh: the devices of all processes.
    batch: the rows `[B / processes, ...]` of this process, in the order of
      `loader.BatchSource` with its process index and count.
  """
  sharding = batch_sharding(mesh)
  return {
    name: jax.make_array_from_process_local_data(sharding, np.asarray(rows))
    for name, rows in batch.items()
  }


def local(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Whole arrays on a device of this process, for work it does by itself.

  All processes have to call it. In a single one the arrays stay as they are:
  its devices may share the work.
  """
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(
    lambda leaf: leaf.addressable_data(0), _replicate(mesh)(tree)
  )


def make_largest(mesh: jax.sharding.Mesh) -> Callable[[int], jax.Array]:
  """Builds `own number -> [] int32`, the largest of those of all processes.

  All processes have to call it alike; who reads the result waits for it.
  """
  largest = jax.jit(jnp.max, out_shardings=_everywhere(mesh))
  sharding = batch_sharding(mesh)

  def of_all(number):
    own = np.full(len(sharding.addressable_devices), number, np.int32)
    return largest(jax.make_array_from_process_local_data(sharding, own))

  return of_all


def jit_update(
  mesh: jax.sharding.Mesh,
  cfg: config_lib.Config,
  state: training.TrainState,
  min_size: int = MIN_SHARED_SIZE,
) -> Any:
  """Compiles `training.make_update` for the mesh.

  Args:
    mesh: the devices.
    cfg: the configuration.
    state: a state, or its shapes.
    min_size: as given to `place_state`.

  Returns:
    `(state, batch, run_key) -> (state, metrics)`, jitted. It takes what
    `place_state` and `place_batch` return; the state given to it is used up.
  """
  if mesh.size == 1:
    # Constraints that say nothing still change what is fused: the last bits.
    update = training.make_update(cfg)
  else:
    update = training.make_update(
      cfg, functools.partial(spread, mesh), functools.partial(gather, mesh)
    )
  shardings = state_shardings(mesh, state, min_size)
  return jax.jit(
    update,
    in_shardings=(shardings, batch_sharding(mesh), _everywhere(mesh)),
    out_shardings=(shardings, _everywhere(mesh)),
    donate_argnums=0,
  )


def _everywhere(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
  """A copy on every device."""
  return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


@functools.cache
def _replicate(mesh: jax.sharding.Mesh) -> Callable[[Any], Any]:
  return jax.jit(lambda tree: tree, out_shardings=_everywhere(mesh))
