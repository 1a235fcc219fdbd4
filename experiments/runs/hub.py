"""Models on the Hugging Face Hub, as the folders that their runs would be.

`hf://user/name`, or `hf://user/name@revision`, stands wherever the run
directory of a model is taken (`shipped.find`). Of a repository the files of an
exported model are downloaded and no others, each within a limit, into the
cache that the Hub's own tools use (`HF_HOME`); they are read as any folder is,
and nothing of them is executed. A private one needs a token in `HF_TOKEN`.
Needs huggingface_hub: `pip install -r requirements-hub.txt`.
"""

import dataclasses
import functools
import os
import pathlib
import re
import sys
from typing import Any

from pokedreamer_jax import json_files

PREFIX = "hf:"
TOKEN_VARIABLE = "HF_TOKEN"

# What is downloaded, and the bytes that it may have.
CONFIG, ARRAYS = "config.json", "model.safetensors"
FILES = {
  CONFIG: 4 << 20,
  ARRAYS: 1 << 30,
  "results.json": 16 << 20,
  "generations.json": 16 << 20,
}
_MIB = 1 << 20

# As `hf://user/name`; a `pathlib.Path` keeps one slash alone.
_ADDRESS = re.compile(r"hf:/{1,2}([^/@\s]+/[^/@\s]+)(?:@(\S+))?")
_PART = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Address:
  """A repository of a model."""

  repo: str  # user/name
  revision: str = "main"

  def __str__(self) -> str:
    tail = "" if self.revision == "main" else f"@{self.revision}"
    return f"hf://{self.repo}{tail}"


def parse(text: str) -> Address:
  """The repository that an address names.

  Raises:
    ValueError: it is malformed.
  """
  match = _ADDRESS.fullmatch(text)
  if match is None or not is_repo(match[1]):
    raise ValueError(
      f"{text}: expected hf://user/name or hf://user/name@revision"
    )
  return Address(match[1], match[2] or "main")


def is_repo(name: str) -> bool:
  """Whether `name` is `user/name` as the Hub takes it."""
  parts = name.split("/")
  return len(parts) == 2 and all(
    _PART.fullmatch(part) and "--" not in part and ".." not in part
    for part in parts
  )


def library() -> Any:
  """The module `huggingface_hub`.

  Raises:
    ValueError: it is not installed.
  """
  try:
    import huggingface_hub
    from huggingface_hub import utils
  except ImportError:
    raise ValueError(
      "huggingface_hub is not installed: pip install -r requirements-hub.txt"
    ) from None
  if not sys.stderr.isatty():  # bars would fill a log
    utils.disable_progress_bars()
  return huggingface_hub


def api(token: str | None) -> Any:
  """The Hub as `token` sees it; without one as anybody does.

  A token that the Hub's tools have saved on this machine is not used: what
  this project does in somebody's name it was given for this very call.
  """
  endpoint = os.environ.get("HF_ENDPOINT") or None
  return library().HfApi(endpoint=endpoint, token=token or False)


def faults() -> tuple[type[BaseException], ...]:
  """What calls of the library raise where the Hub or the network fails."""
  errors = _errors()
  # Of a thread that uploads: a RuntimeError, and the reason behind it.
  return (errors.HTTPError, OSError, RuntimeError)


def _errors() -> Any:
  library()
  from huggingface_hub import errors

  return errors


def reason(error: BaseException) -> str:
  """Why a call has failed, in some words.

  Raises:
    BaseException: `error` itself, where it is no fault of Hub or network.
  """
  errors = _errors()
  kinds = [
    (errors.GatedRepoError, "it is gated: ask for access on its page"),
    (errors.RevisionNotFoundError, "it has no such revision"),
    (errors.OfflineModeIsEnabled, "offline, as HF_HUB_OFFLINE says"),
  ]
  chain: list[BaseException] = [error]
  while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
    chain.append(cause)
  for one in chain:
    for kind, text in kinds:
      if isinstance(one, kind):
        return text
    if isinstance(one, errors.RepositoryNotFoundError):
      return "there is no such repository, or it is private and not to be seen"
    if isinstance(one, errors.HfHubHTTPError):
      return _answer(one)
  for one in chain:
    if isinstance(one, errors.HTTPError):
      return f"the Hub cannot be reached ({type(one).__name__})"
  if isinstance(error, OSError) and error.errno is None:
    return str(error).partition("\n")[0]
  raise error


def _answer(error: Any) -> str:
  """What the Hub has answered, a line without addresses."""
  status = error.response.status_code
  known = {401: "it does not know the token", 403: "the token may not do this"}
  said = known.get(status) or str(error.server_message or "").strip()
  first = said.partition("\n")[0][:200]
  return f"the Hub answers {status}" + (f": {first}" if first else "")


@functools.cache
def fetch(text: str) -> pathlib.Path:
  """The folder of a model on the Hub, downloaded where it is not yet here.

  A process asks once for each address. Where the Hub cannot be reached, what
  was downloaded before is taken, with a line on stderr.

  Raises:
    ValueError: malformed, not there, no exported model, too large, or not to
      be reached and not in the cache; or the library is not installed.
  """
  address = parse(text)
  library()
  token = os.environ.get(TOKEN_VARIABLE) or None
  try:
    folder = _download(address, token)
  except faults() as error:
    why = reason(error)
    status = getattr(getattr(error, "response", None), "status_code", 500)
    if status < 500:
      hint = "" if token else f"; {TOKEN_VARIABLE} is not set"
      raise ValueError(f"{address}: {why}{hint}") from None
    found = _cached(address)
    if found is None:
      raise ValueError(
        f"{address}: {why}, and it is not in the cache"
      ) from None
    print(
      f"Note: {address}: {why}; taken from the cache, commit {found.name[:12]}",
      file=sys.stderr,
      flush=True,
    )
    folder = found
  if "exported" not in json_files.read_object(folder / CONFIG, FILES[CONFIG]):
    raise ValueError(
      f"{address}: its {CONFIG} has no 'exported', expected a model that "
      "experiments.upload_to_hf or experiments.export_model has written"
    )
  return folder


def _download(address: Address, token: str | None) -> pathlib.Path:
  """The snapshot in the cache, whole."""
  hub_api = api(token)
  sizes = {
    entry.path: entry.size
    for entry in hub_api.list_repo_tree(
      address.repo, revision=address.revision, recursive=False
    )
    if hasattr(entry, "size")
  }
  missing = [name for name in (CONFIG, ARRAYS) if name not in sizes]
  if missing:
    raise ValueError(
      f"{address}: no {' and no '.join(missing)} in it, expected a model that "
      "experiments.upload_to_hf has written"
    )
  for name, most in FILES.items():
    if sizes.get(name, 0) > most:
      raise ValueError(
        f"{address}: {name} has {sizes[name]:,} bytes, at most "
        f"{most // _MIB} MiB are downloaded"
      )
  revision, folder = address.revision, pathlib.Path()
  for name in FILES:
    if name in sizes:
      path = _file(hub_api, address, revision, name, sizes[name])
      # The others are of the commit of the first, whatever is pushed now.
      folder, revision = path.parent, path.parent.name
  return folder


def _file(
  hub_api: Any, address: Address, revision: str, name: str, size: int
) -> pathlib.Path:
  """One file in the cache; no more bytes are taken than were announced."""
  from huggingface_hub import utils

  class Counted(utils.tqdm):
    """A progress bar that ends a download that does not end."""

    taken = 0.0

    def update(self, n: float | None = 1) -> bool | None:
      self.taken += n or 0
      if self.taken > size:
        raise ValueError(
          f"{address}: {name} goes on after the {size:,} bytes that it was to "
          "have"
        )
      return super().update(n)

  found = library().hf_hub_download(
    address.repo,
    name,
    revision=revision,
    endpoint=hub_api.endpoint,
    token=hub_api.token,
    tqdm_class=Counted,
  )
  return pathlib.Path(found)


def _cached(address: Address) -> pathlib.Path | None:
  """The snapshot that was downloaded before, if it is whole."""
  found = [
    library().try_to_load_from_cache(
      address.repo, name, revision=address.revision
    )
    for name in (CONFIG, ARRAYS)
  ]
  if not all(isinstance(path, str) for path in found):
    return None
  return pathlib.Path(found[0]).parent
