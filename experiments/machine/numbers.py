"""What decides a run's numbers beside its configuration: fixed, or recorded.

Per kind, and what becomes of a difference when a run is continued:

- Random numbers, types and their promotion (`FIXED`): one value is supported,
  in every command; another one in the environment is refused.
- Precision of matrix products: recorded; another one is refused, since the
  same command promises the same numbers and it costs nothing to ask for them.
- Compiler flags, package versions and devices: recorded; a difference is said
  in a line, since the machine that a run began on may be gone. What follows
  may differ in its last bits from what an undisturbed run gives.

`meta.json` holds them, for every process of a run. Asking wakes no jax;
devices are known once it is awake.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import importlib.metadata
import os
import pathlib
import sys
from typing import Any

# Variable of jax -> its only value here. The PRNG decides every draw, and the
# others what a number is.
FIXED = {
  "JAX_DEFAULT_PRNG_IMPL": "threefry2x32",
  "JAX_THREEFRY_PARTITIONABLE": "true",
  "JAX_RANDOM_SEED_OFFSET": "0",
  "JAX_ENABLE_X64": "false",
  "JAX_NUMPY_DTYPE_PROMOTION": "standard",
}
_PRECISION = "JAX_DEFAULT_MATMUL_PRECISION"
# Read by compilers and libraries below jax, which has no setting for them.
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE")
_SILENT_FLAGS = ("--xla_dump", "--xla_hlo_profile")  # change no number
_DECIDING = ("jax", "jaxlib", "flax", "optax", "numpy")
_TRUTH = {
  **dict.fromkeys(("y", "yes", "t", "true", "on", "1"), "true"),
  **dict.fromkeys(("n", "no", "f", "false", "off", "0"), "false"),
}


def check() -> None:
  """Refuses what would change numbers behind the configuration's back.

  Raises:
    ValueError: the environment, or jax where it is awake, has another value
      than `FIXED` says.
  """
  for name, expected in FIXED.items():
    found = _setting(name, expected)
    truth = expected in ("true", "false")
    if (_TRUTH.get(found.lower(), found) if truth else found) != expected:
      raise ValueError(
        f"{name}={found}: other numbers than everywhere else, expected "
        f"{expected}, or unset"
      )


def settings() -> dict[str, str]:
  """What may be set and is recorded: variable -> value, unset ones left out."""
  found = {_PRECISION: _setting(_PRECISION, "")}
  for name in _FLAGS:
    flags = os.environ.get(name, "").split()
    kept = [flag for flag in flags if not flag.startswith(_SILENT_FLAGS)]
    found[name] = " ".join(sorted(kept))
  return {name: value for name, value in found.items() if value}


def versions(names: Sequence[str] = _DECIDING) -> dict[str, str]:
  """Installed versions of packages; "absent" where there is none."""
  found = {}
  for name in names:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = "absent"
  return found


def devices() -> list[str]:
  """Accelerators in use; empty in a process that has not imported jax."""
  jax = sys.modules.get("jax")
  if jax is None:
    return []
  return [f"{device.platform}: {_kind(device)}" for device in jax.devices()]


def missing_devices() -> str:
  """Why jax finds no devices, on one line; "" where it does, or is not awake.

  To be asked after something has failed: jax says it in many ways, and in
  some with no word at all.
  """
  if "jax" not in sys.modules:
    return ""
  try:
    devices()
    return ""
  except Exception as error:  # a broken driver raises whatever it likes
    asked = os.environ.get("JAX_PLATFORMS", "")
    lines = str(error).splitlines() or [
      f"no such device ({type(error).__name__})"
    ]
    why = lines[0].partition(" (set JAX_PLATFORMS")[0]
    how = "expected such as JAX_PLATFORMS=cpu, or unset"
    return f"JAX_PLATFORMS={asked}: {why}; {how}"


def differences(
  before: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
  """Compares two starts of one run, as `meta.json` records them.

  Args:
    before: the earlier one; what an older version did not record is left out.
    now: the later one.

  Returns:
    What is to be refused and what is to be said, as "name old -> new".
  """
  refused: list[str] = []
  said: list[str] = []
  if "settings" in before:
    old, new = before["settings"], now["settings"]
    for name in (_PRECISION, *_FLAGS):
      was, there = old.get(name, "unset"), new.get(name, "unset")
      if was != there:
        (refused if name == _PRECISION else said).append(
          f"{name} {was} -> {there}"
        )
  old, new = before.get("versions", {}), now["versions"]
  said += [
    f"{name} {old[name]} -> {new[name]}"
    for name in _DECIDING
    if name in old and old[name] != new[name]
  ]
  return refused, said


def other_devices(starts: Sequence[Mapping[str, Any]]) -> list[str]:
  """What the last start of a run runs on, where the one before had others.

  Starts that ended before jax was awake know of no devices and do not count.
  """
  known = [start["devices"] for start in starts if start.get("devices")]
  if len(known) < 2 or known[-1] == known[-2]:
    return []
  return [f"devices {_counted(known[-2])} -> {_counted(known[-1])}"]


def remark(said: Sequence[str]) -> str:
  """One line about differences that are no reason to stop."""
  return (
    f"Note: {', '.join(said)}: numbers may differ in their last bits from "
    "those of an undisturbed run"
  )


def _setting(name: str, default: str) -> str:
  """A variable of jax; of its configuration where jax is awake."""
  jax = sys.modules.get("jax")
  value = getattr(getattr(jax, "config", None), name.lower(), None)
  if value is None:
    value = os.environ.get(name, "")
  return str(value) or default


def _kind(device: Any) -> str:
  """What a device is; all CPUs have one name in jax, and differ in digits."""
  if device.device_kind != "cpu":
    return device.device_kind
  return processor() or device.device_kind


def processor() -> str:
  """What the processor calls itself; empty where the system does not tell."""
  try:
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line for line in text.splitlines() if "model name" in line]
    return models[0].partition(":")[2].strip()
  except (OSError, IndexError):
    return ""


def _counted(names: Sequence[str]) -> str:
  counts = {name: names.count(name) for name in dict.fromkeys(names)}
  return " and ".join(f"{count} x {name}" for name, count in counts.items())
