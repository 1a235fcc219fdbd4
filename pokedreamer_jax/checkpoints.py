"""Orbax checkpoints of a run: saved whole, restored with explicit shardings.

A `Store` is a folder of steps, `DIR/<step>/<item>/...`. Items are pytrees
saved apart (`params`, `opt`, `rng`, ...), so that a player restores `params`
alone; `loop` is a JSON dictionary (counters, data generations). A step exists
only once it is complete: a process killed while saving leaves the previous
step as the latest, and its leftovers are removed by the next `Store`.

One of the few modules here that touch files.
"""

from collections.abc import Callable
from collections.abc import Mapping
import errno
import math
import pathlib
import shutil
from typing import Any

from etils import epath
import jax
import numpy as np
from orbax import checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from pokedreamer_jax import json_files

PyTree = Any
LOOP = "loop"  # the JSON item
_SPACE_FLOOR_BYTES = 2 << 20  # for metadata, metrics and logs


class Store:
  """The checkpoints of one run, for the process that trains.

  Of several processes all make one, in a folder that they share, and call its
  methods alike: each writes and reads its parts of the arrays.
  """

  def __init__(
    self,
    directory: str | pathlib.Path,
    keep: int = 2,
    best: str | None = None,
    best_is_high: bool = True,
    keep_every: int = 0,
  ):
    """Opens or makes the folder and removes what an aborted save left.

    Args:
      directory: the folder of the steps.
      keep: how many of the latest steps stay, at least 1.
      best: a name in the `metrics` given to `save`; the best such step is
        kept as well. None keeps only the latest.
      best_is_high: whether a larger value is better.
      keep_every: steps that are multiples of it stay too; 0 for none.
    """
    if keep < 1:
      raise ValueError(f"keep: {keep}, expected at least 1")
    self.directory = pathlib.Path(directory).absolute()
    self.directory.mkdir(parents=True, exist_ok=True)
    policies: list[Any] = [managers.LatestN(keep)]
    if keep_every:
      policies.append(managers.EveryNSteps(keep_every))
    if best is not None:
      policies.append(
        managers.BestN(
          get_metric_fn=lambda metrics: metrics[best],
          reverse=not best_is_high,
          n=1,
          keep_checkpoints_without_metrics=False,
        )
      )
    self._manager = ocp.CheckpointManager(
      self.directory,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=managers.AnyPreservationPolicy(policies),
        # Makes Orbax store the metrics: the best is still known when another
        # process goes on.
        best_fn=None if best is None else lambda metrics: metrics[best],
        cleanup_tmp_directories=True,
      ),
    )

  def save(
    self,
    step: int,
    items: Mapping[str, PyTree],
    loop: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
  ) -> None:
    """Starts saving; the arrays are copied before this returns.

    Waits for the save before, so that the room on the disk is known.

    A step that is already stored is left as it is.

    Args:
      step: the step's number.
      items: name -> pytree of arrays (typed PRNG keys too), no bare leaf.
      loop: JSON-ready state of the loop.
      metrics: numbers by which the best step is chosen.

    Raises:
      OSError: the disk has no room for it (ENOSPC); nothing was written.
    """
    if LOOP in items:
      raise ValueError(f"items: {LOOP!r} names the JSON item, rename yours")
    for name, item in items.items():
      if jax.tree_util.all_leaves([item]):
        raise ValueError(f"items[{name!r}]: one leaf, expected a mapping")
    if step in self._manager.all_steps():
      return
    self._check_space(items)
    args = {name: ocp.args.StandardSave(item) for name, item in items.items()}
    args[LOOP] = ocp.args.JsonSave(dict(loop))
    self._manager.save(
      step,
      args=ocp.args.Composite(**args),
      metrics=None if metrics is None else dict(metrics),
      force=True,
    )

  def _check_space(self, items: Mapping[str, PyTree]) -> None:
    """Looks before Orbax writes: a disk that fills up breaks many threads."""
    self.wait()  # what is being written takes room too
    # Python numbers too; an argument may lie on devices of other processes.
    shapes = jax.eval_shape(lambda tree: tree, dict(items))
    needed = _SPACE_FLOOR_BYTES + sum(
      math.prod(leaf.shape) * leaf.dtype.itemsize
      for leaf in jax.tree.leaves(shapes)
    )
    free = shutil.disk_usage(self.directory).free
    if free < needed:
      raise OSError(
        errno.ENOSPC,
        f"a checkpoint needs {needed / 2**20:.0f} MiB, {free / 2**20:.0f} MiB "
        "are free",
        str(self.directory),
      )

  def wait(self) -> None:
    """Returns when every started save is complete on disk."""
    self._manager.wait_until_finished()

  def latest_step(self) -> int | None:
    """The newest complete step, or None."""
    return self._manager.latest_step()

  def steps(self) -> list[int]:
    """Every complete step, ascending."""
    return sorted(self._manager.all_steps())

  def restore(
    self, templates: Mapping[str, PyTree], step: int | None = None
  ) -> tuple[dict[str, PyTree], dict[str, Any]]:
    """Restores items into the shapes, dtypes and shardings of `templates`.

    Args:
      templates: name -> pytree of arrays or `jax.ShapeDtypeStruct`; leaves
        without a sharding go to the first device. Items not named here are
        not read.
      step: which step; the latest if None.

    Returns:
      The items, and the `loop` dictionary.

    Raises:
      ValueError: no such step, or a leaf differs in shape or dtype.
    """
    self.wait()
    step = _choose_step(self.directory, self.steps(), step)
    args = {}
    for name, template in templates.items():
      _check_matches(self.directory / str(step) / name, template)
      args[name] = ocp.args.StandardRestore(_with_shardings(template))
    args[LOOP] = ocp.args.JsonRestore()
    restored = self._manager.restore(step, args=ocp.args.Composite(**args))
    return {name: restored[name] for name in templates}, restored[LOOP]

  def close(self) -> None:
    """Waits for running saves and frees the manager's threads."""
    self._manager.close()


def latest_step(directory: str | pathlib.Path) -> int | None:
  """The newest complete step of a store, read without opening it."""
  steps = _complete_steps(_steps_directory(directory))
  return max(steps, default=None)


def best_step(
  directory: str | pathlib.Path, name: str, best_is_high: bool = True
) -> int | None:
  """The complete step whose metric is best, None where no step has one.

  Args:
    directory: a store's folder, or the run directory that holds it.
    name: the metric, as given to `Store.save`.
    best_is_high: whether a larger value is better.
  """
  directory = _steps_directory(directory)
  found = []
  for step in _complete_steps(directory):
    path = directory / str(step) / "metrics" / "metrics"
    if path.exists():
      values = json_files.read_object(path, allow_nan=True)
      found.append((values[name], step))
  choose = max if best_is_high else min
  return choose(found, default=(0.0, None))[1]


def load_item(
  directory: str | pathlib.Path,
  name: str,
  step: int | None = None,
  template: PyTree | None = None,
) -> PyTree:
  """Reads one item of a store, for players and evaluation.

  Args:
    directory: a store's folder, or the run directory that holds
      `checkpoints/`.
    name: the item, such as `params`, or `loop` for the JSON dictionary.
    step: which step; the latest if None.
    template: pytree of arrays or `jax.ShapeDtypeStruct`, also of a part of
      the item: only that part is read. None reads everything into nested
      dictionaries on the first device.

  Raises:
    ValueError: no checkpoint, no such item, or a leaf differs.
  """
  directory = _steps_directory(directory)
  step = _choose_step(directory, _complete_steps(directory), step)
  path = directory / str(step) / name
  if not path.is_dir():
    found = sorted(p.name for p in path.parent.iterdir() if p.is_dir())
    raise ValueError(f"checkpoint {path.parent}: no item {name!r} in {found}")
  if name == LOOP:
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
      return reader.restore(path, args=ocp.args.JsonRestore())
  if template is None:
    template = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
      _metadata(path),
    )
  else:
    _check_matches(path, template, partial=True)
  template = _with_shardings(template)
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    return reader.restore(
      path,
      args=ocp.args.PyTreeRestore(
        item=template,
        restore_args=ocp.checkpoint_utils.construct_restore_args(template),
        partial_restore=True,
      ),
    )


def _steps_directory(directory: str | pathlib.Path) -> pathlib.Path:
  directory = pathlib.Path(directory).absolute()
  inner = directory / "checkpoints"
  return inner if inner.is_dir() else directory


def _complete_steps(directory: pathlib.Path) -> list[int]:
  if not directory.is_dir():
    return []
  # Unfinished saves carry a suffix, so a bare number is a complete step.
  return sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())


def _choose_step(
  directory: pathlib.Path, steps: list[int], step: int | None
) -> int:
  if not steps:
    raise ValueError(f"checkpoint: no complete step in {directory}")
  if step is None:
    return steps[-1]
  if step not in steps:
    raise ValueError(f"checkpoint {directory}: no step {step}, found {steps}")
  return step


def _with_shardings(template: PyTree) -> PyTree:
  """Leaves as `ShapeDtypeStruct`s that all name where they go."""
  default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

  def abstract(leaf):
    if not hasattr(leaf, "dtype"):
      return leaf  # a Python number restores as one
    sharding = getattr(leaf, "sharding", None) or default
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

  return jax.tree.map(abstract, template)


def _metadata(path: pathlib.Path) -> PyTree:
  """Shapes and dtypes of a stored item, as nested dictionaries."""
  metadata = ocp.PyTreeCheckpointHandler().metadata(epath.Path(path))
  return metadata.tree


def _check_matches(
  path: pathlib.Path, template: PyTree, partial: bool = False
) -> None:
  """Compares a template with what is stored, before anything is read.

  Raises:
    ValueError: names the first differing leaves.
  """
  if not path.is_dir():
    raise ValueError(f"checkpoint {path.parent}: no item {path.name!r}")
  stored = _by_name(_metadata(path), _stored_text)
  wanted = _by_name(template, _wanted_text)
  differing = [
    f"{name} is {stored.get(name, 'absent')}, expected {text}"
    for name, text in wanted.items()
    if name not in stored or (text and stored[name] not in (text, ""))
  ]
  if not partial:
    differing += [
      f"{name} is {text}, expected absent"
      for name, text in stored.items()
      if name not in wanted
    ]
  if differing:
    more = "" if len(differing) <= 3 else f" and {len(differing) - 3} more"
    raise ValueError(
      f"checkpoint {path} does not fit: {'; '.join(differing[:3])}{more}"
    )


def _by_name(
  tree: PyTree, text_of: Callable[[Any], str | None]
) -> dict[str, str]:
  named = {}
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    text = text_of(leaf)
    if text is not None:
      named["/".join(_key_text(key) for key in path)] = text
  return named


def _key_text(key: Any) -> str:
  for attribute in ("key", "name", "idx"):
    if hasattr(key, attribute):
      return str(getattr(key, attribute))
  return str(key)


def _stored_text(leaf: Any) -> str | None:
  if getattr(leaf, "shape", None) is None or leaf.dtype is None:
    return ""  # not an array: nothing to compare
  return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


def _wanted_text(leaf: Any) -> str | None:
  if not hasattr(leaf, "dtype"):
    return ""
  if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
    # Stored as the raw words behind the key.
    leaf = jax.eval_shape(jax.random.key_data, leaf)
  return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
