"""Models that come with the package, and where a run directory is looked for.

A name such as `chapter_one` stands for the folder of that name among these
wherever a run directory is taken, unless there is something of that name where
one stands. So does `hf://user/name` for a model on the Hugging Face Hub
(`hub.py`).
"""

import os
import pathlib
import re

from experiments.runs import hub

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "models"
DEFAULT = "chapter_one"  # what is played where nothing is named

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def names() -> list[str]:
  """Of the models that are there."""
  return sorted(
    path.parent.name
    for path in FOLDER.glob("*/config.json")
    if _NAME.fullmatch(path.parent.name)
  )


def find(directory: str | os.PathLike) -> pathlib.Path:
  """The folder that a run directory, a name or an address stands for.

  What is none of them comes back as it is, for whoever reads it to complain.

  Raises:
    ValueError: an address whose model cannot be had (`hub.fetch`).
  """
  path = pathlib.Path(directory)
  name = str(directory)
  if name.startswith(hub.PREFIX) and not path.exists():
    return hub.fetch(name)
  if _NAME.fullmatch(name) and not path.exists() and name in names():
    return FOLDER / name
  return path


def remark() -> str:
  """How messages tell which names there are; "" without any."""
  return f"; models by name: {names()}" if names() else ""
