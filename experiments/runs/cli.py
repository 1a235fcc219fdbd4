"""Shared flags, and how every entry point starts and ends.

An entry point defines its flags with the functions below, and ends in
`cli.run_main(main)`. Exit codes: 0 done; 1 something failed; 2 bad input (one
line on stderr, nothing lost); 130 stopped by Ctrl-C, 143 by SIGTERM and 129 by
SIGHUP (a terminal that is gone), all after saving.

Environment: POKEDREAMER_ROM names the ROM as --rom does,
POKEDREAMER_TRACK=wandb,mlflow shows what trains there,
POKEDREAMER_TRACEBACK=1 shows the traceback of an input error,
JAX_COMPILATION_CACHE_DIR moves the cache of compiled programs.
"""

from collections.abc import Callable
from collections.abc import Sequence
import errno
import os
import pathlib
import resource
import shlex
import shutil
import signal
import stat
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from typing import Any

from absl import flags
from absl import logging

from data_tools.system import children
from experiments.machine import allocator
from experiments.machine import numbers
from experiments.outputs import disk
from experiments.outputs import folding
from experiments.outputs import screen
from experiments.outputs import trackers as trackers_lib
from experiments.runs import run_directory
from pokedreamer_jax import whole_files
from pokedreamer_jax.config import overrides as overrides_lib
from pokedreamer_jax.config import presets
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.config import toml_files

# Flags belong to the entry point that asks for them, not to this module.
flags.disclaim_key_flags()

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT

# See `define_defaults`; of this process's entry point alone.
_defaults: list[Callable[[], Sequence[str]]] = []

_PACKAGES = ("pokedreamer_jax", "data_tools", "experiments")
_TRACK = "POKEDREAMER_TRACK"  # names of trackers, for every stage that trains
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_COMPILE_CACHE_BYTES = 512 * 2**20


# Flags. Entry points share names (`--data_dir`), and a test may import many
# of them into one process, so a second definition of a name joins the first.


def string(name: str, default: str | None, help_text: str) -> flags.FlagHolder:
  """Defines `--name=TEXT`."""
  return _define(flags.DEFINE_string, name, default, help_text)


def integer(name: str, default: int | None, help_text: str) -> flags.FlagHolder:
  """Defines `--name=NUMBER`, of a whole number, also one like 1e4."""

  def definer(name: str, default: Any, text: str) -> flags.FlagHolder:
    serializer = flags.ArgumentSerializer[int]()
    return flags.DEFINE(_Whole(), name, default, text, serializer=serializer)

  return _define(definer, name, default, help_text)


def boolean(name: str, default: bool, help_text: str) -> flags.FlagHolder:
  """Defines `--name` and `--noname`."""
  return _define(flags.DEFINE_boolean, name, default, help_text)


def choice(
  name: str, default: str | None, values: Sequence[str], help_text: str
) -> flags.FlagHolder:
  """Defines `--name=ONE_OF_VALUES`."""
  return _define(flags.DEFINE_enum, name, default, list(values), help_text)


def repeated(name: str, help_text: str) -> flags.FlagHolder:
  """Defines `--name=TEXT`, which may be given several times."""
  return _define(flags.DEFINE_multi_string, name, [], help_text)


def define_run_flags(workdir: str | None = None) -> None:
  """Defines `--workdir --preset --set --seed`.

  Args:
    workdir: the default work directory; None makes the flag required.
  """
  string("workdir", workdir, "Directory of this run; the same resumes.")
  define_config_flags()


def define_config_flags() -> None:
  """Defines `--preset --set --seed --config --print_config`."""
  string(
    "preset",
    "tiny",
    f"One of {', '.join(sorted(presets.PRESETS))}; help tells what to expect "
    "of each.",
  )
  repeated("set", "Overrides a field: --set train.steps=100 (repeatable).")
  integer("seed", 0, "Seed of everything random in this run.")
  string(
    "config",
    None,
    "File of fields as --print_config writes it (TOML), in place of --preset; "
    "--set comes after it. It may leave out what is as in its preset.",
  )
  boolean(
    "print_config",
    False,
    "Prints what --preset, --config and --set come to, every field explained, "
    "and leaves. What learns on a world model takes that part from it instead.",
  )


def define_defaults(overrides: Callable[[], Sequence[str]]) -> None:
  """Tells what `--print_config` takes as `defaults` of `make_config`."""
  _defaults.append(overrides)


def is_set(name: str) -> bool:
  """Whether a person chose the value of this field, `part.field`.

  By `--set`, or by a `--config` that differs from its preset there.
  """
  items = flags.FLAGS["set"].value or ()
  if any(item.partition("=")[0].strip() == name for item in items):
    return True
  if not flags.FLAGS["config"].value:
    return False
  preset, seed, values = _chosen()
  made = presets.make(preset, (), seed, values, flags.FLAGS["config"].value)
  own = presets.make(preset)
  return overrides_lib.value_at(made, name) != overrides_lib.value_at(own, name)


def define_checkpoint_step(whose: str) -> flags.FlagHolder:
  """Defines `--checkpoint_step`, for `inputs.choose_step`."""
  return string(
    "checkpoint_step",
    "latest",
    f"Checkpoint of {whose} to take: latest, best (of a world model, by its "
    "loss on held-out episodes; of a policy, by its gain in the game, where "
    "policy.honesty_every measured it) or a number.",
  )


def define_trackers() -> None:
  """Defines `--wandb` and `--mlflow`, for `trackers`."""
  for name, title in (("wandb", "Weights & Biases"), ("mlflow", "MLflow")):
    boolean(
      name,
      False,
      f"Shows the run in {title}, too (requirements-{name}.txt; its own "
      f"environment variables say where); {_TRACK}={name} does for all stages.",
    )


def trackers() -> tuple[str, ...]:
  """The trackers that are asked for, by flag or environment.

  Raises:
    ValueError: one is not known or not installed.
  """
  asked = [name for name in trackers_lib.NAMES if flags.FLAGS[name].value]
  for name in filter(None, os.environ.get(_TRACK, "").split(",")):
    if name not in trackers_lib.NAMES:
      raise ValueError(
        f"{_TRACK}={os.environ[_TRACK]}: expected of "
        f"{', '.join(trackers_lib.NAMES)}"
      )
    asked.append(name)
  for name in asked:
    trackers_lib.check(name)
  return tuple(dict.fromkeys(asked))


def define_resume_step() -> flags.FlagHolder:
  """Defines `--resume_step`, for `Run.resume_step`."""
  return integer(
    "resume_step",
    None,
    "Checkpoint of this run to go on from, where the newest is damaged or led "
    "nowhere; newer ones are kept in checkpoints/left_out.",
  )


def define_rom() -> flags.FlagHolder:
  """Defines `--rom`, for `data_tools.game.roms.resolve`."""
  return string(
    "rom",
    None,
    "ROM file, or a practice cartridge by name, such as great_vale; default: "
    "chapter_one.",
  )


def define_other_rom() -> flags.FlagHolder:
  """Defines `--other_rom`, for `inputs.check_rom`."""
  return boolean(
    "other_rom", False, "Plays a game that the checkpoint was not trained on."
  )


def make_config(defaults: Sequence[str] = ()) -> config_lib.Config:
  """The configuration that `--preset --config --set --seed` describe.

  Args:
    defaults: overrides applied before those of `--set`.

  Raises:
    ValueError: an unknown preset or field (the valid names are listed), a file
      that cannot be read, or a seed that not every generator takes.
  """
  preset, seed, values = _chosen()
  overrides = [*defaults, *(flags.FLAGS["set"].value or ())]
  made = presets.make(preset, overrides, seed, values, flags.FLAGS.config or "")
  if not 0 <= made.seed < 1 << 32:
    raise ValueError(f"--seed={made.seed}: expected 0 to {(1 << 32) - 1}")
  return made


def _chosen() -> tuple[str, int, dict[str, Any] | None]:
  """Preset, seed, and what a file changes, where one is given."""
  given = flags.FLAGS
  if not given.config:
    return given.preset, given.seed, None
  values = toml_files.read(given.config)
  preset = toml_files.preset_of(values, given.config) or given.preset
  if given["preset"].present and given.preset != preset:
    raise ValueError(
      f"--preset={given.preset}, --config={given.config}: begins with preset "
      f"{preset!r}, expected one of both"
    )
  if given["seed"].present:
    values.pop("seed", None)
  return preset, given.seed, values


def workdir(other_name: str = "workdir") -> pathlib.Path:
  """`--workdir`, or what is given by the other name that a command has for it.

  Raises:
    ValueError: it is missing, or both are given and differ.
  """
  one, other = flags.FLAGS.workdir, flags.FLAGS[other_name].value
  if one and other and one != other:
    raise ValueError(
      f"--workdir={one}, --{other_name}={other}: two names of one directory, "
      "expected one"
    )
  return pathlib.Path(other or required("workdir"))


def required(name: str) -> str:
  """The value of a flag that must be given.

  Raises:
    ValueError: it is missing or empty.
  """
  value = flags.FLAGS[name].value
  if not value:
    raise ValueError(f"--{name} is required")
  return value


def config_arguments(defaults: Sequence[str] = ()) -> list[str]:
  """`--preset --seed --config --set` for the command of another stage.

  Args:
    defaults: overrides that come before those given to this process.
  """
  preset, seed, values = _chosen()
  overrides = [*defaults, *(flags.FLAGS["set"].value or ())]
  arguments = [f"--preset={preset}"]
  if values is None or "seed" not in values:
    arguments += [f"--seed={seed}"]
  if values is not None:
    arguments += [f"--config={flags.FLAGS.config}"]
  return arguments + [f"--set={item}" for item in overrides]


def command_line(
  module: str | None = None,
  arguments: Sequence[str] | None = None,
  here: bool = False,
) -> str:
  """The shell command of an entry point; by default, of this process.

  Args:
    module: of the entry point.
    arguments: its flags.
    here: names the Python that runs this, to be typed as it is; what is kept
      for others says `python`.
  """
  if module is None:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name if spec else pathlib.Path(sys.argv[0]).stem
  if arguments is None:
    arguments = sys.argv[1:]
  python = interpreter() if here else "python"
  return shlex.join([python, "-m", module, *arguments])


def interpreter() -> str:
  """What to type for the Python that runs this: one that has the packages.

  `python` where that is the same, else its path, from here if it is below.
  """
  own = sys.executable
  found = shutil.which("python")
  if not own or (found and os.path.abspath(found) == os.path.abspath(own)):
    return "python"
  below = os.path.relpath(own)
  return own if below.startswith("..") else below


def run_main(main: Callable[[], int | None]) -> None:
  """Parses the flags, calls `main()` and leaves the process.

  Errors in the input end in one line on stderr and exit code 2: bad flags,
  `ValueError`s raised by this project, files that cannot be opened, and an
  environment that asks for other devices or other numbers. A full
  disk and losses that are not finite end in exit code 1 without a traceback.
  Anything else is a fault of the program and shows its traceback.
  """
  with screen.guarded(), disk.one_voice():
    _parse_flags()
    _quiet_libraries()
    _set_compile_cache()
    _hurry_debug_runs()
    allocator.keep_freed_memory()
    _follow_parent()
    try:
      if not _explain():
        numbers.check()
        code = main() or 0
      else:
        code = 0
    except (Exception, KeyboardInterrupt) as error:
      code = report(error)
    if remark := whole_files.remark():
      say(f"Note: {remark}.")
    sys.stdout.flush()
    if not code and screen.lost_outcome():
      say("Error: stdout: the disk is full; what was printed is not whole")
      code = EXIT_FAILED
  if disk.told():
    # Threads of libraries wait for minutes for what found no room.
    for child in children.living():
      child.kill()
    os._exit(code)
  sys.exit(code)


def report(error: BaseException) -> int:
  """Says on stderr how a command ended.

  Returns:
    The exit code.
  """
  if isinstance(error, run_directory.Stopped):
    say(str(error))
    if not os.environ.get(run_directory.PARENT_VARIABLE):
      say(f"To continue: {command_line(here=True)}")
    return error.exit_code
  if isinstance(error, run_directory.Failed):
    say(f"Error: {error}")
    return EXIT_FAILED
  if isinstance(error, KeyboardInterrupt):
    say("Interrupted.")
    return EXIT_INTERRUPTED
  if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    say(f"Error: too many open files, {most} are allowed: raise `ulimit -n`")
    return EXIT_FAILED
  disk_full = disk.is_full(error)
  if not disk_full and not _is_input_error(error):
    missing = numbers.missing_devices()
    if missing and not os.environ.get("POKEDREAMER_TRACEBACK"):
      say(f"Error: {missing}")
      return EXIT_BAD_INPUT
    traceback.print_exception(error)
    return EXIT_FAILED
  if os.environ.get("POKEDREAMER_TRACEBACK"):
    traceback.print_exception(error)
  if disk_full:
    disk.mark_told()
    say(f"Error: {disk.describe(error, _written_places())}")
    say("What was saved before is kept. Free some disk, then continue with:")
    say(command_line(here=True))
    return EXIT_FAILED
  say(f"Error: {error}")
  return EXIT_BAD_INPUT


def say(text: str) -> None:
  """One line on stderr; a terminal gets it folded between words."""
  text = folding.for_stream(text, sys.stderr)
  print(text, file=sys.stderr, flush=True)


class _Whole(flags.IntegerParser):
  """Of the values of `integer`."""

  def convert(self, argument: str | int) -> int:
    """The number, as `--set` reads it."""
    if not isinstance(argument, str):
      return super().convert(argument)
    try:
      return overrides_lib.whole(argument)
    except ValueError:
      raise ValueError("expected a whole number") from None


def _define(definer: Callable[..., flags.FlagHolder], name: str, *rest: Any):
  if name in flags.FLAGS:
    return flags.FlagHolder(flags.FLAGS, flags.FLAGS[name])
  return definer(name, *rest)


def _parse_flags() -> None:
  if any(argument in ("--help", "-h", "-help") for argument in sys.argv[1:]):
    document = (sys.modules["__main__"].__doc__ or "").strip()
    own = flags.FLAGS.main_module_help()
    text = (
      f"{document}\n\nUsage: {command_line(None, [], here=True)} [flags]\n{own}"
    )
    print(text, flush=True)
    sys.exit(0)
  try:
    rest = flags.FLAGS(sys.argv)[1:]
    if rest:
      raise flags.Error(f"unexpected argument {rest[0]!r}")
  except flags.Error as error:
    text = str(error).strip().rstrip(".")
    if not isinstance(error, flags.IllegalFlagValueError):
      own_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
      names = " ".join(sorted(f"--{flag.name}" for flag in own_flags))
      text += f". Valid flags: {names}"
    say(f"Error: {text}")
    sys.exit(EXIT_BAD_INPUT)


def _explain() -> bool:
  """Prints presets or the configuration, where a person asks for them."""
  given = flags.FLAGS
  if "print_config" not in given:
    return False
  if given.preset == "help":
    for name in presets.PRESETS:
      print(f"{name}:\n{textwrap.indent(presets.about(name), '  ')}\n")
    return True
  if not given.print_config:
    return False
  config = make_config([item for made in _defaults for item in made()])
  about = f"Preset {config.preset}: {presets.about(config.preset)}"
  print(toml_files.text(config, about), end="")
  return True


def _quiet_libraries() -> None:
  # Orbax and grain tell their progress as absl warnings.
  if not flags.FLAGS["verbosity"].present:
    logging.set_verbosity(logging.ERROR)


def _set_compile_cache() -> None:
  """Keeps compiled programs between processes, through the environment.

  Read by jax when it is imported, which is later, if at all. Small programs
  are kept as well: a process compiles hundreds, 50 ms each.
  """
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
  if "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  directory = _cache_directory()
  if directory is not None:
    _prune(directory, _COMPILE_CACHE_BYTES)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(directory)


def _cache_directory() -> pathlib.Path | None:
  """A folder that is ours alone, as programs from it are run; None for none.

  A container may have no home, or one that cannot be written.
  """
  own = pathlib.Path(tempfile.gettempdir()) / f"pokedreamer_jax-{os.getuid()}"
  for base in (os.environ.get("XDG_CACHE_HOME") or "~/.cache", own):
    try:
      directory = pathlib.Path(base).expanduser()
      directory.mkdir(0o700, parents=True, exist_ok=True)
      status = directory.stat()
      if base == own and (
        directory.is_symlink()
        or status.st_uid != os.getuid()
        or status.st_mode & 0o022
      ):
        continue
      directory = directory / "pokedreamer_jax" / "compiled"
      directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # cannot be made; no home at all
      continue
    if os.access(directory, os.W_OK):
      return directory
  return None


def _hurry_debug_runs() -> None:
  """Compiles without optimising where nothing but the wiring is tried."""
  if "config" not in flags.FLAGS:
    return
  try:
    preset, *_ = _chosen()
  except ValueError:  # for `make_config` to say
    return
  if preset == "debug":
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")


def _prune(directory: pathlib.Path, most_bytes: int) -> None:
  """Deletes the oldest files until the others fit."""
  files = []
  for path in directory.glob("*"):
    try:
      status = path.stat()
      if not stat.S_ISREG(status.st_mode):
        continue
      files.append((max(status.st_atime, status.st_mtime), status, path))
    except OSError:  # another process was first
      continue
  total = sum(status.st_size for _, status, _ in files)
  for _, status, path in sorted(files, key=lambda item: item[0]):
    if total <= most_bytes:
      return
    try:
      path.unlink(missing_ok=True)
    except OSError:  # not ours to delete
      continue
    total -= status.st_size


def _follow_parent() -> None:
  """Asks this process to stop when the one that started it has died."""
  parent = os.environ.get(run_directory.PARENT_VARIABLE)
  if parent != str(os.getppid()):
    return  # started by hand, or by another stage

  def watch():
    while os.getppid() == int(parent):
      time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=watch, daemon=True).start()


def _written_places() -> list[str]:
  """Directories that this command writes to, as far as flags tell."""
  names = ("workdir", "out_dir", "data_dir")
  given = [flags.FLAGS[n].value for n in names if n in flags.FLAGS]
  return [place for place in given if place] + [tempfile.gettempdir()]


def _is_input_error(error: BaseException) -> bool:
  """Whether it was raised by this project's own lines, not in a library."""
  if isinstance(error, OSError):
    return error.filename is not None
  if not isinstance(error, ValueError):
    return False
  frames = traceback.extract_tb(error.__traceback__)
  raised_in = pathlib.Path(frames[-1].filename).resolve()
  return any(_ROOT / name in raised_in.parents for name in _PACKAGES)
