"""Orbax checkpoints of a run: saved whole, restored with explicit shardings.

A `Store` is a folder of steps, `DIR/<step>/<item>/...`. Items are pytrees
saved apart (`params`, `opt`, `rng`, ...), so that a player restores `params`
alone; `loop` is a JSON dictionary (counters, data generations). A step exists
only once it is complete: a process killed while saving leaves the previous
step as the latest, and its leftovers are removed by the next `Store`.

A step's folder holds `whole.json`, the list of its files (`whole_files.py`),
written just before the folder gets its name; whatever reads a step compares
what it reads with that list first.

One of the few modules here that touch files.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import errno
import math
import pathlib
import shutil
from typing import Any

from etils import epath
import jax
from jax.experimental import multihost_utils
import numpy as np
from orbax import checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from pokedreamer_jax import json_files
from pokedreamer_jax import whole_files
from pokedreamer_jax.interop import model_folders

PyTree = Any
LOOP = "loop"  # the JSON item
LEFT_OUT = "left_out"  # beside the steps: those that are not to be used
_METRICS = "metrics"  # the item that Orbax makes of a step's metrics
_RESUMED = "resumed_from"  # in lists: the step that was asked for
# Orbax writes these two after the list, and no value comes from them.
_UNLISTED = (whole_files.ORBAX_NOTE, "commit_success.txt")
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
    about: Mapping[str, Any] | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    resume_step: int | None = None,
  ):
    """Opens or makes the folder and removes what an aborted save left.

    Folders of steps that are not whole are moved to `left_out/`, which
    `remarks` tells.

    Args:
      directory: the folder of the steps.
      keep: how many of the latest steps stay, at least 1.
      best: a name in the `metrics` given to `save`; the best such step is
        kept as well. None keeps only the latest.
      best_is_high: whether a larger value is better.
      keep_every: steps that are multiples of it stay too; 0 for none.
      about: JSON-ready facts for the list of every step that is saved.
      check: called by `restore` with the facts of the step's list.
      resume_step: the step to go on from: newer ones are left out, but for
        those saved by a store with the same `resume_step`. None takes the
        newest.

    Raises:
      ValueError: no such step to go on from, or it is damaged.
    """
    if keep < 1:
      raise ValueError(f"keep: {keep}, expected at least 1")
    self.directory = pathlib.Path(directory).absolute()
    self.directory.mkdir(parents=True, exist_ok=True)
    self.remarks: list[str] = []  # what was left out, for a person
    self._about = dict(about or {})
    if resume_step is not None:
      self._about[_RESUMED] = resume_step
    self._check = check
    self._saving = 0
    self._leave_out(resume_step)
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
    newest = max(_complete_steps(self.directory), default=0)
    with _readable(self.directory, newest):  # it reads the notes of all steps
      self._manager = ocp.CheckpointManager(
        self.directory,
        options=ocp.CheckpointManagerOptions(
          preservation_policy=managers.AnyPreservationPolicy(policies),
          # Makes Orbax store the metrics: the best is still known when another
          # process goes on.
          best_fn=None if best is None else lambda metrics: metrics[best],
          cleanup_tmp_directories=True,
          async_options=ocp.AsyncOptions(
            post_finalization_callback=self._write_list
          ),
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
    self._saving = step
    self._manager.save(
      step,
      custom_metadata={whole_files.LISTED: 1},
      args=ocp.args.Composite(**args),
      metrics=None if metrics is None else dict(metrics),
      force=True,
    )

  def _write_list(self) -> None:
    """Called in process 0 when all files of a step are there, unnamed yet."""
    unnamed = [
      path
      for path in self.directory.glob(f"{self._saving}.*")
      if (path / whole_files.ORBAX_NOTE).is_file()
    ]
    if len(unnamed) != 1:
      raise RuntimeError(
        f"{self.directory}: {len(unnamed)} folders of step {self._saving} are "
        "being written, expected one"
      )
    whole_files.write_list(
      unnamed[0], {"step": self._saving, **self._about}, _UNLISTED
    )

  def _leave_out(self, resume_step: int | None) -> None:
    """Moves aside what is not whole, and what is newer than asked for."""
    finished, others = whole_files.steps(self.directory)
    moved = {step: "not whole (copied or removed halfway?)" for step in others}
    if resume_step is not None:
      step = _choose_step(self.directory, finished, resume_step)
      _check_step(self.directory, step)
      newer = [n for n in finished if n > step and not self._continues(n)]
      moved |= {n: f"newer than {step}, which is asked for" for n in newer}
    # Orbax is about to read the metrics of all.
    kept = [n for n in finished if n not in moved]
    if kept:
      _check_step(self.directory, kept[-1], {_METRICS})
    for step in kept[:-1]:
      folder = self.directory / str(step)
      try:
        if whole_files.has_list(folder):
          whole_files.check_list(folder, {_METRICS})
      except whole_files.Damaged as error:
        moved[step] = str(error)
    for step, reason in moved.items():
      folder = self.directory / LEFT_OUT / str(step)
      while folder.exists():
        folder = folder.with_name(folder.name + "_")
      if jax.process_index() == 0:
        folder.parent.mkdir(exist_ok=True)
        (self.directory / str(step)).rename(folder)
      self.remarks.append(
        f"checkpoint {step} of {self.directory}: {reason}; left out, moved to "
        f"{LEFT_OUT}/{folder.name}"
      )
    if moved and jax.process_count() > 1:
      multihost_utils.sync_global_devices("checkpoints_left_out")

  def _continues(self, step: int) -> bool:
    """Whether a step was saved after going on from the one asked for."""
    try:
      listed = whole_files.read_list(self.directory / str(step))
    except ValueError:
      return False
    return listed.get(_RESUMED) == self._about[_RESUMED]

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

  def go_back(self, step: int) -> None:
    """Removes all steps after one of them, which is the latest then."""
    self.wait()
    _choose_step(self.directory, self.steps(), step)
    for newer in self.steps():
      if newer > step:
        self._manager.delete(newer)

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
      ValueError: no such step, it is damaged (the line names the file and the
        newest whole step), or a leaf differs in shape or dtype.
    """
    self.wait()
    step = _choose_step(self.directory, self.steps(), step)
    listed = _check_step(self.directory, step)
    if listed and self._check is not None:
      self._check(listed)
    args = {}
    for name, template in templates.items():
      _check_matches(self.directory / str(step) / name, template)
      args[name] = ocp.args.StandardRestore(_with_shardings(template))
    args[LOOP] = ocp.args.JsonRestore()
    with _readable(self.directory, step):
      restored = self._manager.restore(step, args=ocp.args.Composite(**args))
    loop = restored[LOOP]
    if loop.get("step", step) != step:  # of an older version, without a list
      raise ValueError(
        f"checkpoint {self.directory / str(step)}: its loop says step "
        f"{loop['step']}; {_newest_whole(self.directory, step)}"
      )
    return {name: restored[name] for name in templates}, loop

  def close(self) -> None:
    """Waits for running saves and frees the manager's threads."""
    self._manager.close()


def latest_step(directory: str | pathlib.Path) -> int | None:
  """The newest complete step of a store, read without opening it.

  Of a model that was exported (`interop/model_folders.py`) the one it is of.
  """
  if model_folders.is_one(directory):
    return model_folders.about(directory)["step"]
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
    path = directory / str(step) / _METRICS / "metrics"
    _check_step(directory, step, {_METRICS})
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
    directory: a store's folder, the run directory that holds `checkpoints/`,
      or the folder of an exported model.
    name: the item, such as `params`, or `loop` for the JSON dictionary.
    step: which step; the latest if None.
    template: pytree of arrays or `jax.ShapeDtypeStruct`, also of a part of
      the item: only that part is read. None reads everything into nested
      dictionaries on the first device.

  Raises:
    ValueError: no checkpoint, no such item, or a leaf differs.
  """
  if model_folders.is_one(directory):
    return model_folders.load_item(directory, name, step, template)
  directory = _steps_directory(directory)
  step = _choose_step(directory, _complete_steps(directory), step)
  path = directory / str(step) / name
  if not path.is_dir():
    found = sorted(p.name for p in path.parent.iterdir() if p.is_dir())
    raise ValueError(f"checkpoint {path.parent}: no item {name!r} in {found}")
  _check_step(directory, step, {name})
  if name == LOOP:
    with (
      _readable(directory, step),
      ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader,
    ):
      return reader.restore(path, args=ocp.args.JsonRestore())
  if template is None:
    template = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
      _metadata(path),
    )
  else:
    _check_matches(path, template, partial=True)
  template = _with_shardings(template)
  with (
    _readable(directory, step),
    ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader,
  ):
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
  return whole_files.steps(directory)[0]


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


def _check_step(
  directory: pathlib.Path, step: int, parts: Collection[str] | None = None
) -> dict[str, Any]:
  """Compares a step with its list, before anything of it is read.

  Args:
    directory: of the steps.
    step: a finished one.
    parts: the items that will be read; None for all.

  Returns:
    What the list says; nothing for a step of an older version.

  Raises:
    ValueError: it is damaged; the line names the file and what is whole.
  """
  folder = directory / str(step)
  try:
    if not whole_files.has_list(folder):
      whole_files.note_older(folder)
      return {}
    listed = whole_files.check_list(folder, parts)
    if listed["step"] != step:
      raise whole_files.Damaged(f"{folder}: its list is of {listed['step']}")
    return listed
  except whole_files.Damaged as error:
    raise ValueError(
      f"checkpoint {error}; {_newest_whole(directory, step)}"
    ) from None


def _newest_whole(directory: pathlib.Path, besides: int) -> str:
  """What a person can do about a damaged step."""
  for step in reversed(_complete_steps(directory)):
    if step != besides:
      try:
        folder = directory / str(step)
        if whole_files.has_list(folder):
          whole_files.check_list(folder)
      except whole_files.Damaged:
        continue
      return (
        f"the newest whole step is {step}: trainers go on from it with "
        f"--resume_step={step}, others take it with --checkpoint_step={step}"
      )
  return "no other step is whole"


@contextlib.contextmanager
def _readable(directory: pathlib.Path, step: int) -> Iterator[None]:
  """Makes one line of what Orbax says of a step that it cannot read.

  Steps without a list are looked at by Orbax alone, which raises errors of
  many types.
  """
  try:
    yield
  except Exception as error:
    said = (str(error).strip() or "no reason given").splitlines()[0]
    raise ValueError(
      f"checkpoint {directory / str(step)}: cannot be read "
      f"({type(error).__name__}: {said[:120]}); "
      f"{_newest_whole(directory, step)}"
    ) from error


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
  with _readable(path.parent.parent, int(path.parent.name)):
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
