"""The documented door for programs: models and agents out of run directories.

    from experiments import library

    agent = library.load_agent("runs/quickstart/policy")

Wherever a directory is taken, the folder of an exported model and the name of
one that comes with the package will do as well. Nothing here wakes jax before
parameters are loaded. What acts, dreams and plans with them is in
`pokedreamer_jax`, the games are in `data_tools`; `docs/library.md` shows each.
"""

import os
from typing import Any

from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs.inputs import Agent
from pokedreamer_jax.config import run as config_lib

__all__ = [
  "Agent",
  "load_agent",
  "load_config",
  "load_critic",
  "load_world_model",
]

LATEST, BEST = "latest", "best"


def load_config(directory: str | os.PathLike) -> config_lib.Config:
  """The configuration of a run: sizes, objective and all that decided it.

  Raises:
    ValueError: it is not the run directory of a model.
  """
  return inputs.load_config(str(directory))


def load_world_model(
  directory: str | os.PathLike, step: int | str = LATEST
) -> Any:
  """Parameters of a world model, for functions that take `(cfg, params)`.

  Args:
    directory: of a world model, or of a policy or clone, which hold theirs.
    step: a checkpoint's number, "latest", or "best" by its validation.

  Raises:
    ValueError: not a run directory of these, or no such checkpoint.
  """
  path = str(directory)
  if run_directory.read_stage(path) in ("clone", "policy"):
    return inputs.load_item(path, "world_model", _step(path, step))
  inputs.check_kind(path, agent=False)
  return inputs.load_world_model(path, _step(path, step))


def load_agent(directory: str | os.PathLike, step: int | str = LATEST) -> Agent:
  """Configuration, world model and actor of a policy or a clone.

  Args:
    directory: of a policy or a clone.
    step: a checkpoint's number, or "latest".

  Raises:
    ValueError: not a run directory of these, or no such checkpoint.
  """
  path = str(directory)
  inputs.check_kind(path, agent=True)
  return inputs.load_agent(path, _step(path, step))


def load_critic(directory: str | os.PathLike, step: int | str = LATEST) -> Any:
  """Parameters of a policy's critic; None where a clone has none.

  Arguments and errors as of `load_agent`.
  """
  path = str(directory)
  inputs.check_kind(path, agent=True)
  return inputs.load_critic(path, _step(path, step))


def _step(directory: str, step: int | str) -> int | None:
  try:
    return inputs.choose_step(directory, str(step))
  except ValueError as error:
    text = str(error).replace("--checkpoint_step=", "step ")
    raise ValueError(text) from None
