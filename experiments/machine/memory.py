"""Memory of this machine, and the least that trainings take of it."""

import math
import pathlib

from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib

_GIB = 2**30
_COPIES = 4  # of the parameters: themselves, gradients, two of the optimiser
_FLOAT_BYTES = 4


def available() -> int | None:
  """Bytes that can still be taken, within the container's limit."""
  try:
    lines = _read("/proc/meminfo").splitlines()
    fields = {line.split(":")[0]: line.split()[1] for line in lines}
    free = int(fields["MemAvailable"]) * 1024
  except (OSError, KeyError, ValueError, IndexError):
    return None
  try:
    limit = int(_read("/sys/fs/cgroup/memory.max"))
    used = int(_read("/sys/fs/cgroup/memory.current"))
    return min(free, limit - used)
  except (OSError, ValueError):
    return free


def check_training(config: config_lib.Config) -> None:
  """Refuses a world model that cannot fit, instead of filling the machine.

  What is counted is needed for certain, which is less than what is taken: the
  packed frames of a batch, the recurrent states and a number a
  decoded pixel, and the
  parameters with their gradients and optimiser. Wakes jax.

  Raises:
    ValueError: it is more than there is.
  """
  import jax

  from pokedreamer_jax.world_model import model as world_model

  train, sizes = config.train, config.world_model
  rows = train.batch_size * train.seq_len
  decoded = min(train.decode_rows or rows, rows)
  pixels = specs.FRAME_HEIGHT * specs.FRAME_WIDTH
  batch_bytes = rows * (pixels // 4 + sizes.deter * _FLOAT_BYTES)
  batch_bytes += decoded * pixels * _FLOAT_BYTES
  leaves = jax.tree.leaves(world_model.shapes(sizes))
  parameters = sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves
  )
  needed = batch_bytes + _COPIES * parameters
  # Of all processes and devices, though parameters may lie on each.
  there = _there() * jax.process_count()
  if not there or needed <= there:
    return
  raise ValueError(
    f"train.batch_size: {train.batch_size} windows of train.seq_len "
    f"{train.seq_len}, world_model.deter {sizes.deter}: at least "
    f"{needed / _GIB:,.1f} GiB ({batch_bytes / _GIB:,.1f} a batch, "
    f"{_COPIES * parameters / _GIB:,.1f} parameters and optimiser), expected "
    f"at most the {there / _GIB:,.1f} GiB that are there"
  )


def check_dreams(config: config_lib.Config) -> None:
  """Refuses batches of dreams that cannot fit, instead of filling the machine.

  A batch is dreamt and judged whole. What is counted is what a policy reads of
  every state of it, which is less than what is taken. Wakes jax.

  Raises:
    ValueError: it is more than there is.
  """
  from pokedreamer_jax.behaviour import policy_inputs

  policy = config.policy
  states = policy.starts * (policy.horizon + 1)
  needed = states * policy_inputs.size(config) * _FLOAT_BYTES
  there = _there()
  if not there or needed <= there:
    return
  raise ValueError(
    f"policy.starts: {policy.starts} dreams of policy.horizon "
    f"{policy.horizon}: at least {needed / _GIB:,.1f} GiB a batch, expected at "
    f"most the {there / _GIB:,.1f} GiB that are there"
  )


def _there() -> int:
  """Bytes of this process's devices, or of the machine; 0 where none tells."""
  import jax

  stats = [device.memory_stats() for device in jax.local_devices()]
  there = sum((each or {}).get("bytes_limit", 0) for each in stats)
  return there or available() or 0


def _read(path: str) -> str:
  return pathlib.Path(path).read_text(encoding="utf-8")
