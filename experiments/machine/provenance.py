"""What runs here: versions of packages, and the commit of this code."""

import importlib.metadata
import pathlib
import subprocess

from experiments.machine import numbers

_PACKAGES = (
  *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain"),
  *("array_record", "pyboy", "safetensors", "av", "pillow"),
)


def versions() -> dict[str, str]:
  """Installed versions of the packages that matter."""
  return numbers.versions(_PACKAGES)


def commit() -> str:
  """The git commit of this code, "+" if changed.

  Where git does not keep this very file, such as in an environment that lies
  inside another project's repository: "v" and the installed version, or
  "unknown".
  """
  here = pathlib.Path(__file__).resolve()
  root = here.parents[2]

  def git(*arguments: str) -> str:
    return subprocess.run(
      ["git", "-C", str(root), *arguments],
      capture_output=True,
      text=True,
      check=True,
      timeout=10,
    ).stdout.strip()

  try:
    git("ls-files", "--error-unmatch", "--", str(here))
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
  except (OSError, subprocess.SubprocessError):
    return _installed_version(here)


def _installed_version(here: pathlib.Path) -> str:
  """The version of the installed package that this file belongs to."""
  try:
    package = importlib.metadata.distribution("pokedreamer_jax")
  except importlib.metadata.PackageNotFoundError:
    return "unknown"
  place = pathlib.Path(here.parents[1].name, here.parent.name, here.name)
  installed = pathlib.Path(str(package.locate_file(place)))
  same = installed.exists() and installed.samefile(here)
  return f"v{package.version}" if same else "unknown"
