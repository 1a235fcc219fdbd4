"""Sends a shipment to its repository; a second call sends what is missing.

A repository is private unless asked otherwise: its creation says so, and what
the Hub then tells of it is compared before a byte is sent. Files that are
there already, by their digests, are not sent again; each commit holds files
that are whole, and the card comes last.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import hashlib
import os
import re
from typing import Any

from experiments.runs import hub
from experiments.runs import run_directory
from experiments.sharing import folders
from pokedreamer_jax import whole_files

Say = Callable[[str], None]

# Of one commit: what was sent before a cut is then listed already.
_MOST_FILES = 100
_MOST_BYTES = 1 << 30
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII)


def check_variable(flag: str, variable: str) -> None:
  """Raises ValueError where `variable` is no name; it may be a token."""
  if not _VARIABLE.fullmatch(variable):
    raise ValueError(
      f"--{flag}: expected the NAME of an environment variable, such as "
      f"{hub.TOKEN_VARIABLE}; if it was a token, revoke it: command lines are "
      "seen by others"
    )


def token(flag: str, variable: str) -> str:
  """The token in an environment variable; neither is ever part of a message.

  Args:
    flag: that named the variable, for messages.
    variable: its name.

  Raises:
    ValueError: no name of a variable, no such variable, or no token in it.
  """
  check_variable(flag, variable)
  value = os.environ.get(variable, "")
  if not value:
    raise ValueError(
      f"--{flag}: the environment has no variable of this name, expected one "
      "that holds a token with the right to write"
    )
  if not value.isascii() or not value.isprintable() or " " in value:
    raise ValueError(
      f"--{flag}: the variable of this name holds spaces or signs that no "
      "token has"
    )
  return value


def listing(shipment: folders.Shipment, public: bool) -> list[str]:
  """What a shipment holds, for a person: names and sizes."""
  sizes = [f"{file.size_bytes:,}" for file in shipment.files]
  width = max(map(len, sizes))
  seen = "public" if public else "private"
  return [
    f"{shipment.kind} {shipment.repo} ({seen}):",
    *(
      f"  {size:>{width}}  {file.name}"
      for size, file in zip(sizes, shipment.files, strict=True)
    ),
    f"  {shipment.size_bytes:>{width},}  bytes in {len(sizes)} files; made in "
    f"{shipment.folder}",
    *(f"Note: {note}" for note in shipment.notes),
  ]


def send(
  shipment: folders.Shipment, key: str, public: bool, say: Say = print
) -> str:
  """Makes the repository where there is none, and sends what it lacks.

  Args:
    shipment: what it shall hold.
    key: the token.
    public: whether anybody may see it.
    say: takes lines of progress.

  Returns:
    The address of its page.

  Raises:
    ValueError: the Hub refuses, or the repository is public and shall not be.
    run_directory.Failed: network or Hub have failed; the same call goes on.
  """
  api = hub.api(key)
  where = f"{shipment.kind} {shipment.repo}"
  try:
    page = _make(api, shipment, public, say)
    missing = _missing(api, shipment)
    there = len(shipment.files) - len(missing)
    say(f"{where}: {there} files are there, {len(missing)} to send")
    done, total = 0, sum(file.size_bytes for file in missing)
    for group in _groups(missing):
      _commit(api, shipment, group)
      done += sum(file.size_bytes for file in group)
      say(f"{where}: {done:,} of {total:,} bytes sent")
    left = _missing(api, shipment) if missing else []
  except hub.faults() as error:
    why = hub.reason(error)
    status = getattr(getattr(error, "response", None), "status_code", 500)
    if status < 500 and status not in (408, 429):
      raise ValueError(f"--repo={shipment.repo}: {why}") from None
    raise run_directory.Failed(
      f"{where}: {why}; what was sent is kept, the same command sends the rest"
    ) from None
  if left:
    raise run_directory.Failed(
      f"{where}: {left[0].name} is not there as it was sent, nor are "
      f"{len(left) - 1} others; the same command sends them again"
    )
  return page


def _make(api: Any, shipment: folders.Shipment, public: bool, say: Say) -> str:
  """The repository, with the visibility that was asked for.

  Returns:
    The address of its page.

  Raises:
    ValueError: it is public, and was to be private.
  """
  made = api.create_repo(
    shipment.repo,
    repo_type=shipment.kind,
    private=not public,
    exist_ok=True,
  )
  info = api.repo_info(shipment.repo, repo_type=shipment.kind)
  if not public and info.private is not True:
    raise ValueError(
      f"--repo={shipment.repo}: is public, and nothing was sent; expected a "
      "private one, or --public"
    )
  if public and info.private:
    say(
      f"Note: {shipment.repo} is private, as it was before; its page changes it"
    )
  return str(made)


def _missing(api: Any, shipment: folders.Shipment) -> list[folders.File]:
  """The files that the repository lacks or holds otherwise."""
  there = {
    entry.path: entry
    for entry in api.list_repo_tree(
      shipment.repo, repo_type=shipment.kind, recursive=True
    )
    if hasattr(entry, "blob_id")
  }
  return [f for f in shipment.files if not _same(f, there.get(f.name))]


def _same(file: folders.File, entry: Any) -> bool:
  """Whether a file is what the repository holds, by size and digest."""
  if entry is None or entry.size != file.size_bytes:
    return False
  if entry.lfs is not None:
    return bool(entry.lfs.sha256 == whole_files.file_digest(file.path)[1])
  data = file.path.read_bytes()  # small: large ones are kept by SHA-256
  return bool(
    entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
  )


def _groups(
  files: Sequence[folders.File],
) -> Iterator[list[folders.File]]:
  """Files for one commit each, in order."""
  group: list[folders.File] = []
  size = 0
  for file in files:
    size += file.size_bytes
    if group and (len(group) == _MOST_FILES or size > _MOST_BYTES):
      yield group
      group, size = [], file.size_bytes
    group.append(file)
  if group:
    yield group


def _commit(
  api: Any, shipment: folders.Shipment, group: Sequence[folders.File]
) -> None:
  hub_library = hub.library()
  api.create_commit(
    shipment.repo,
    [
      hub_library.CommitOperationAdd(file.name, str(file.path))
      for file in group
    ],
    commit_message=f"{len(group)} files of pokedreamer_jax",
    repo_type=shipment.kind,
  )
