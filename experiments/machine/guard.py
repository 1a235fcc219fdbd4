"""Says in one line that this Python cannot run the entry points.

The first thing that `python -m experiments.VERB` imports: standard library
alone, in words that older versions of Python can read.
"""

import importlib.util
import sys

_OLDEST = (3, 11)
_EXIT_BAD_INPUT = 2
# What has to be installed: import name -> name of the package.
_NEEDED = {
  "absl": "absl-py",
  "numpy": "numpy",
  "jax": "jax",
  "flax": "flax",
  "optax": "optax",
  "orbax": "orbax-checkpoint",
  "etils": "etils",
  "chex": "chex",
  "grain": "grain",
  "array_record": "array_record",
  "pyboy": "pyboy",
  "safetensors": "safetensors",
  "PIL": "pillow",
  "rich": "rich",
  "tensorboardX": "tensorboardX",
}
# Finds out by itself what is missing, and needs this alone to begin.
_EXAMINER = ("experiments.doctor", ("absl", "numpy"))


def leave_if_unfit() -> None:
  """Ends a process that was started as an entry point and could not run.

  Nothing happens where the package is imported by something else: there the
  import that fails names what is missing.
  """
  arguments = getattr(sys, "orig_argv", [])  # from Python 3.10 on
  if sys.argv[:1] != ["-m"]:
    return
  problem = find(arguments, sys.version_info[:3])
  if problem:
    sys.stderr.write("Error: " + problem + "\n")
    sys.stderr.flush()
    sys.exit(_EXIT_BAD_INPUT)


def find(arguments, version) -> str:
  """What keeps a command from running here, in a line; "" for nothing.

  Args:
    arguments: the process's own, which name the verb.
    version: of Python, three numbers.
  """
  if tuple(version) < _OLDEST:
    return "Python {}.{} to 3.13 is needed, this is {} ({})".format(
      *_OLDEST, ".".join(map(str, version)), sys.executable
    )
  names = list(_NEEDED)
  if _EXAMINER[0] in arguments:
    names = list(_EXAMINER[1])
  missing = [n for n in names if importlib.util.find_spec(n) is None]
  if not missing:
    return ""
  return "missing packages: {}; pip install -r requirements.txt ({})".format(
    ", ".join(_NEEDED[name] for name in missing), sys.executable
  )
