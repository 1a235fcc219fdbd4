"""What a whole file is: sealed JSON, and folders with a list of their files.

A sealed JSON object holds the SHA-256 of its own values. A listed folder holds
`whole.json`, sealed, with the size and SHA-256 of every file in it; the list
is written last and whole or not at all, so a folder without one is unfinished.
Files of older versions have neither: they are read, and remembered for one
remark (`remark`), as damage in them would not be seen.

Standard library only: workers of `data_tools` use it as well.
"""

from collections.abc import Collection
from collections.abc import Mapping
import hashlib
import json
import os
import pathlib
import secrets
from typing import Any

LIST = "whole.json"
SEAL = "self_sha256"
ORBAX_NOTE = "_CHECKPOINT_METADATA"  # in a step's folder
LISTED = "listed"  # in that note, under custom_metadata: a list has to be there

_PREFIX = "sha256:"  # by which a seal is known even if its name is damaged
_older: dict[str, None] = {}  # paths, in the order in which they were read


class Damaged(ValueError):
  """Something is not what was written; one line that begins with the path."""


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
  """A JSON-ready object with the digest of its values as the last one."""
  bare = {name: value for name, value in values.items() if name != SEAL}
  return bare | {SEAL: _digest(bare)}


def unseal(values: Any, name: str | os.PathLike) -> dict[str, Any]:
  """The values of a sealed object, compared with their digest.

  Args:
    values: as read; one without a seal is of an older version.
    name: the path, for messages.

  Raises:
    Damaged: no object, or another digest.
  """
  if not isinstance(values, dict):
    raise Damaged(f"{name}: damaged (no JSON object)")
  bare = {key: value for key, value in values.items() if key != SEAL}
  if SEAL not in values:
    if any(str(value).startswith(_PREFIX) for value in bare.values()):
      raise Damaged(f"{name}: damaged (the name of its {SEAL} has changed)")
    _older[str(name)] = None
  elif values[SEAL] != _digest(bare):
    raise Damaged(
      f"{name}: damaged, or changed by hand (its {SEAL} is of other values)"
    )
  return bare


def write_list(
  folder: str | os.PathLike,
  about: Mapping[str, Any],
  besides: Collection[str] = (),
) -> None:
  """Lists every file of a finished folder, once all of them have lasted.

  Args:
    folder: nobody else writes into it.
    about: JSON-ready facts that go into the list.
    besides: files directly in it that are left out of the list.
  """
  folder = pathlib.Path(folder)
  files = {}
  for path in sorted(folder.rglob("*")):
    name = path.relative_to(folder).as_posix()
    if path.is_file() and name not in besides and name != LIST:
      with open(path, "rb") as file:
        os.fsync(file.fileno())
      files[name] = list(file_digest(path))
  text = json.dumps(seal({**about, "files": files}), indent=1)
  temporary = folder / f"{LIST}.{secrets.token_hex(4)}.tmp"
  try:
    with open(temporary, "w", encoding="utf-8") as file:
      file.write(text + "\n")
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, folder / LIST)
  finally:
    temporary.unlink(missing_ok=True)


def has_list(folder: str | os.PathLike) -> bool:
  """Whether a folder was finished by `write_list`."""
  return (pathlib.Path(folder) / LIST).is_file()


def read_list(folder: str | os.PathLike) -> dict[str, Any]:
  """What `write_list` wrote: the facts, and `files` by name.

  Raises:
    Damaged: the list is missing or damaged.
  """
  path = pathlib.Path(folder) / LIST
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise Damaged(f"{path}: {error.strerror}") from None
  except (ValueError, RecursionError):
    raise Damaged(f"{path}: damaged (no JSON)") from None
  if not isinstance(values, dict) or SEAL not in values:
    raise Damaged(f"{path}: damaged (it has no {SEAL})")
  return unseal(values, path)


def check_list(
  folder: str | os.PathLike, parts: Collection[str] | None = None
) -> dict[str, Any]:
  """Compares a folder with its list; returns what the list says.

  Args:
    folder: with a list.
    parts: first parts of the names whose contents are compared; of the other
      files the sizes alone. None compares all.

  Raises:
    Damaged: the list, or the first file that differs from it.
  """
  folder = pathlib.Path(folder)
  listed = read_list(folder)
  for name, (size, digest) in listed["files"].items():
    path = folder / name
    try:
      found = path.stat().st_size
      if found == size and (parts is None or name.split("/")[0] in parts):
        found, found_digest = file_digest(path)
      else:
        found_digest = digest
    except OSError as error:
      raise Damaged(f"{path}: {error.strerror}") from None
    if found != size:
      raise Damaged(f"{path}: damaged ({found} bytes, {size} were written)")
    if found_digest != digest:
      raise Damaged(f"{path}: damaged (its SHA-256 is another one)")
  return listed


def steps(directory: str | os.PathLike) -> tuple[list[int], list[int]]:
  """Numbered folders of checkpoints: the finished ones, and the others.

  Finished are those with a list, and those of older versions, which Orbax
  has noted as complete and which were not to have one.
  """
  finished: list[int] = []
  others: list[int] = []
  directory = pathlib.Path(directory)
  for path in directory.iterdir() if directory.is_dir() else ():
    # Unfinished saves carry a suffix of Orbax.
    if path.name.isascii() and path.name.isdecimal() and path.is_dir():
      done = has_list(path) or _is_older_step(path)
      (finished if done else others).append(int(path.name))
  return sorted(finished), sorted(others)


def _is_older_step(folder: pathlib.Path) -> bool:
  try:
    text = (folder / ORBAX_NOTE).read_text(encoding="utf-8")
    return LISTED not in (json.loads(text)["custom_metadata"] or {})
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return False


def file_digest(path: str | os.PathLike) -> tuple[int, str]:
  """Size in bytes and SHA-256 of a file."""
  with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return file.tell(), digest


def note_older(path: str | os.PathLike) -> None:
  """Remembers that something without a digest was read."""
  _older[str(path)] = None


def remark() -> str:
  """One line on what this process has read without a digest; "" for nothing.

  What it names is not named again.
  """
  paths = list(_older)
  _older.clear()
  if not paths:
    return ""
  more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
  return (
    f"{paths[0]}{more}: written by an older version, without a digest: damage "
    "in it would not be seen"
  )


def _digest(values: Mapping[str, Any]) -> str:
  # Through JSON, so that it is the digest of what will be read back.
  same = json.loads(json.dumps(dict(values)))
  text = json.dumps(same, sort_keys=True, separators=(",", ":"))
  return _PREFIX + hashlib.sha256(text.encode()).hexdigest()
