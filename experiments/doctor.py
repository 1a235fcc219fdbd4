"""Looks at this machine: whether the project runs here, and what would help.

    python -m experiments.doctor --workdir=runs/quickstart

Every problem comes with its fix. Exit code 1 if something would stop a run.
"""

import dataclasses
import os
import pathlib
import platform
import shutil
import sys
import tempfile

from data_tools.system import processors
from experiments.machine import memory
from experiments.machine import numbers
from experiments.machine import processes
from experiments.machine import provenance
from experiments.runs import cli

_WORKDIR = cli.string("workdir", "runs/quickstart", "Where a run would write.")
_ROM = cli.define_rom()
_DISK = cli.integer("need_disk_mib", 1024, "Free disk that a run needs.")
_MEMORY = cli.integer("need_memory_mib", 4096, "Memory that a run needs.")

OK, NOTE, PROBLEM = "ok", "note", "problem"
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Finding:
  """One line of the examination.

  Attributes:
    name: what was looked at.
    status: OK, NOTE (works, could be better) or PROBLEM (stops a run).
    text: what was found.
    fix: what to do about it; empty where all is well.
  """

  name: str
  status: str
  text: str
  fix: str = ""

  def line(self) -> str:
    """The finding on one line."""
    mark = {OK: "ok  ", NOTE: "note", PROBLEM: "STOP"}[self.status]
    fix = f" -> {self.fix}" if self.fix else ""
    return f"  {mark}  {self.name}: {self.text}{fix}"


def main() -> int:
  """Prints the findings; 1 if there is a problem."""
  workdir = pathlib.Path(_WORKDIR.value)
  findings = [
    check_python(),
    check_packages(),
    check_devices(),
    check_cores(),
    check_memory(_MEMORY.value * _MIB),
    check_workdir(workdir),
    check_disk(workdir, _DISK.value * _MIB),
    check_rom(_ROM.value),
    check_video(),
  ]
  for finding in findings:
    print(finding.line(), flush=True)
  problems = [f.name for f in findings if f.status == PROBLEM]
  if problems:
    cli.say(f"Error: {', '.join(problems)}: see the lines marked STOP.")
    return cli.EXIT_FAILED
  return 0


def check_python() -> Finding:
  """The interpreter and the system."""
  text = f"{platform.python_version()} on {platform.system()}"
  text += f" {platform.machine()}"
  if sys.platform == "win32":
    return Finding("python", PROBLEM, text, "use WSL2: no Windows wheels")
  return Finding("python", OK, text)


def check_packages() -> Finding:
  """That everything of requirements.txt is there."""
  versions = provenance.versions()
  missing = [name for name, version in versions.items() if version == "absent"]
  if missing:
    fix = _install("requirements.txt", *missing)
    return Finding("packages", PROBLEM, f"missing {', '.join(missing)}", fix)
  shown = ("jax", "flax", "numpy", "grain", "pyboy")
  text = ", ".join(f"{name} {versions[name]}" for name in shown)
  return Finding("packages", OK, text)


def check_devices() -> Finding:
  """What jax runs on, and whether an accelerator lies idle."""
  fix = "reinstall, or run on the CPU with JAX_PLATFORMS=cpu"
  try:
    import jax
  except Exception as error:  # a broken installation raises whatever it likes
    text = f"jax: {str(error) or type(error).__name__}".splitlines()[0]
    return Finding("devices", PROBLEM, text, fix)
  missing = numbers.missing_devices()
  if missing:
    return Finding("devices", PROBLEM, missing, fix)
  devices = jax.devices()
  text = f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
  unused = unused_accelerator() if devices[0].platform == "cpu" else None
  if unused is not None:
    return Finding("devices", NOTE, f"{text}; {unused[0]} unused", unused[1])
  return Finding("devices", OK, text)


def unused_accelerator(root: str = "/") -> tuple[str, str] | None:
  """An accelerator that this machine has, and how to use it; None without.

  Args:
    root: where the file system begins, for tests.
  """
  base = pathlib.Path(root)
  asked_for_cpu = os.environ.get("JAX_PLATFORMS", "") == "cpu"
  if (base / "proc/driver/nvidia").is_dir() or (base / "dev/nvidia0").exists():
    fix = _install("requirements-cuda13.txt", "jax[cuda13]")
    name = "an NVIDIA GPU is"
  elif (base / "dev/accel0").exists():
    fix = _install("requirements-tpu.txt", "jax[tpu]")
    name = "a TPU is"
  else:
    return None
  return name, "unset JAX_PLATFORMS" if asked_for_cpu else fix


def check_cores() -> Finding:
  """Processors this process may use."""
  count = processors.available()
  if count < 2:
    return Finding("cores", NOTE, "1", "everything works, at half the pace")
  return Finding("cores", OK, str(count))


def check_memory(needed_bytes: int) -> Finding:
  """Memory that is free for a run."""
  available = memory.available()
  if available is None:
    return Finding("memory", OK, "unknown on this system")
  text = f"{available / 2**30:.1f} GiB available"
  if available < needed_bytes:
    text += f", {needed_bytes / 2**30:.1f} GiB wanted"
    return Finding("memory", NOTE, text, "close other programs")
  return Finding("memory", OK, text)


def check_workdir(workdir: pathlib.Path) -> Finding:
  """That the work directory can be written."""
  folder = _existing(workdir)
  try:
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    text = f"{folder} cannot be written ({error.strerror})"
    return Finding("workdir", PROBLEM, text, "give another --workdir")
  return Finding("workdir", OK, f"{workdir} can be written")


def check_disk(workdir: pathlib.Path, needed_bytes: int) -> Finding:
  """That what is still missing of a run fits on the disk."""
  free = shutil.disk_usage(_existing(workdir)).free
  if (workdir / "config.json").exists():  # a run that goes on
    needed_bytes = max(needed_bytes - processes.disk_bytes(workdir), _MIB)
  text = f"{free / 2**30:.1f} GiB free, {needed_bytes / 2**30:.1f} GiB needed"
  if free < needed_bytes:
    fix = "free some, or give a --workdir on another disk"
    return Finding("disk", PROBLEM, text, fix)
  return Finding("disk", OK, text)


def check_rom(path: str | None) -> Finding:
  """Which game would be played."""
  from data_tools.game import emulator
  from data_tools.game import roms

  try:
    rom = roms.resolve(path)
  except ValueError as error:
    fix = (
      "give --rom=PATH of a copy you dumped yourself, a practice cartridge "
      f"({', '.join(roms.CARTRIDGES)}), or leave it out"
    )
    return Finding("rom", PROBLEM, str(error), fix)
  if not rom.has_ram_fields:
    try:
      emulator.Emulator(rom).close()  # does it get as far as its first screen?
    except ValueError as error:
      return Finding("rom", PROBLEM, str(error), "give --rom=PATH of another")
  status = OK if rom.has_ram_fields else NOTE
  return Finding("rom", status, rom.describe())


def check_video() -> Finding:
  """Whether clips can be MP4."""
  from experiments.reports import video

  if video.have_codec():
    return Finding("video", OK, "H.264")
  text = "no H.264 encoder: clips become animated WebP"
  return Finding("video", NOTE, text, "pip install av")


def _install(listed: str, *names: str) -> str:
  """The command for a list, or for its names where no sources lie around."""
  if (pathlib.Path(__file__).parents[1] / listed).exists():
    return f"pip install -r {listed}"
  return "pip install " + " ".join(f'"{name}"' for name in names)


def _existing(path: pathlib.Path) -> pathlib.Path:
  """The path, or the nearest folder above it that exists."""
  path = path.absolute()
  while not path.exists():
    path = path.parent
  return path


def _read(path: str) -> str:
  return pathlib.Path(path).read_text(encoding="utf-8")


if __name__ == "__main__":
  cli.run_main(main)
