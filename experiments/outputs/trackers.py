"""Trackers of experiments that are not ours: Weights & Biases, and MLflow.

Each is imported where a person asks for it, shows the same names as
`metrics.jsonl`, and is told what the run is. A tracker can neither end a run
nor replace its log: where it fails a line says so and it is left alone.

Credentials and addresses are the libraries' own environment variables
(WANDB_API_KEY, WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI, ...). Neither
can forget points: what a resumed run does again it shows again, alike.
"""

from collections.abc import Callable
from collections.abc import Mapping
import importlib.util
import logging
import os
import pathlib
import time
from typing import Any
from typing import Protocol

from experiments.outputs import about as about_lib

NAMES = ("wandb", "mlflow")
PROJECT = "pokedreamer_jax"

# How a run ended.
FINISHED, STOPPED, BROKEN = "finished", "stopped", "failed"

_MOST_PARAMS = 100  # that MLflow takes at once
_MOST_LETTERS = 500  # of a value, for older servers


class Tracker(Protocol):
  """Shows one run somewhere."""

  name: str
  run_id: str  # under which a resumed run goes on

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Numbers at a step."""

  def image(self, step: int, name: str, picture: Any) -> None:
    """A `PIL.Image` at a step."""

  def end(self, how: str) -> None:
    """Nothing more comes; `how` is one of the above."""


def check(name: str) -> None:
  """Refuses a tracker that is not there.

  Raises:
    ValueError: its package is not installed, or there is no such tracker.
  """
  if name not in NAMES:
    raise ValueError(f"tracker {name!r}: expected one of {', '.join(NAMES)}")
  spec = importlib.util.find_spec(name)
  if spec is None or spec.origin is None:  # a folder of that name is none
    raise ValueError(
      f"--{name}: the package {name} is not installed, expected what "
      f"requirements-{name}.txt lists: pip install -r requirements-{name}.txt"
    )


def begin(
  name: str, directory: pathlib.Path, about: about_lib.About, run_id: str
) -> Tracker:
  """Opens a tracker on a run.

  Args:
    name: one of `NAMES`.
    directory: of the run, where what is not sent lies.
    about: what it is shown as.
    run_id: as a process before had it; empty for a new one.

  Raises:
    ValueError: the package is missing, or the service refuses.
  """
  check(name)
  makers: dict[str, Callable[..., Tracker]] = {
    "wandb": _Wandb,
    "mlflow": _MLflow,
  }
  try:
    return makers[name](directory, about, run_id)
  except Exception as error:  # whatever a foreign library raises
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise ValueError(f"--{name}: {lines[0]}") from error


class _Wandb:
  """Into `DIR/wandb`, and from there to the service unless it is offline."""

  name = "wandb"

  def __init__(
    self, directory: pathlib.Path, about: about_lib.About, run_id: str
  ):
    # Faults of a library are no business of its maker's.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    self._wandb = wandb
    self._run = wandb.init(
      project=os.environ.get("WANDB_PROJECT", PROJECT),
      name=about.name,
      group=about.stage,
      dir=str(directory),
      id=run_id or None,
      resume="allow",
      config={**about.fields(), "run": dict(about.facts)},
      # The screen is guarded by our own streams.
      settings=wandb.Settings(silent=True, console="off"),
    )
    self.run_id = str(self._run.id)
    # Its own count only rises, which that of a resumed run does not.
    self._run.define_metric("step")
    self._run.define_metric("*", step_metric="step")

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    self._run.log({"step": step, **values})

  def image(self, step: int, name: str, picture: Any) -> None:
    self._run.log({"step": step, name: self._wandb.Image(picture)})

  def end(self, how: str) -> None:
    self._run.finish(exit_code=0 if how == FINISHED else 1)


class _MLflow:
  """To MLFLOW_TRACKING_URI, or into `DIR/mlruns`."""

  name = "mlflow"

  def __init__(
    self, directory: pathlib.Path, about: about_lib.About, run_id: str
  ):
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address:
      address = (directory / "mlruns").as_uri()
      os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow
    from mlflow import entities

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    self._entities = entities
    self._client = mlflow.MlflowClient(tracking_uri=address)
    title = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    found = self._client.get_experiment_by_name(title)
    number = (
      found.experiment_id if found else self._client.create_experiment(title)
    )
    if run_id:
      self.run_id = run_id
      self._client.update_run(run_id, status="RUNNING")
    else:
      made = self._client.create_run(number, run_name=about.name)
      self.run_id = str(made.info.run_id)
      self._describe(about)
    tags = {"stage": about.stage, **about.facts}
    for tag, text in tags.items():
      self._client.set_tag(self.run_id, tag, text[:_MOST_LETTERS])

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    now_ms = int(time.time() * 1000)
    self._client.log_batch(
      self.run_id,
      metrics=[
        self._entities.Metric(name, value, now_ms, step)
        for name, value in values.items()
      ],
    )

  def image(self, step: int, name: str, picture: Any) -> None:
    self._client.log_image(self.run_id, picture, f"{name}_{step}.png")

  def end(self, how: str) -> None:
    status = {FINISHED: "FINISHED", STOPPED: "KILLED"}.get(how, "FAILED")
    self._client.set_terminated(self.run_id, status)

  def _describe(self, about: about_lib.About) -> None:
    params = [
      self._entities.Param(name, str(value)[:_MOST_LETTERS])
      for name, value in about.fields().items()
    ]
    for first in range(0, len(params), _MOST_PARAMS):
      self._client.log_batch(
        self.run_id, params=params[first : first + _MOST_PARAMS]
      )
    for name, text in about.texts().items():
      self._client.log_text(self.run_id, text, f"{name}.md")
