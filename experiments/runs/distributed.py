"""One command in several processes, as on several hosts, through jax.

    --coordinator=HOST:PORT --num_processes=N --process_id=I
    --coordinator=auto    where jax finds its cluster (SLURM, Open MPI, TPU pod)

Every process runs the same program on a directory that all see. Process 0
writes, and decides where processes might differ (`Group.share`). A process
that fails tells the others, and all end with its line and exit code. One that
is killed breaks what the others calculate with it, which ends them (on CPUs,
with a traceback), or jax misses it and aborts them: at once if it was process
0, else within 100 seconds.
"""

from collections.abc import Callable
import ipaddress
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from typing import Any

from absl import flags

from experiments.runs import cli
from experiments.runs import run_directory

# Flags belong to the entry point that asks for them, not to this module.
flags.disclaim_key_flags()

_AUTO = "auto"
_JOIN_S = 300  # until all processes have to be there
_LEAVE_S = 10  # for the others to hear of a failure
_ASK_S = 0.1  # between looks at what process 0 shares
_WATCH_S = 1.0  # between looks at whether another process has failed
_FAILED = "pokedreamer/failed"


def define_flags() -> None:
  """Defines `--coordinator --num_processes --process_id`, for `join`."""
  cli.string(
    "coordinator",
    None,
    "HOST:PORT at which process 0 listens, to train in several processes; or "
    "auto, where jax finds the cluster by itself.",
  )
  cli.integer("num_processes", None, "How many processes train together.")
  cli.integer("process_id", None, "Which of them this one is, from 0.")


class Group:
  """The processes that run this command together; made by `join`.

  A context manager, around everything that they do together. They leave it
  all alike, also where all are stopped or find that the run has failed. Any
  other error is the matter of one process: it is told to the others, and ends
  them all without coming back here.
  """

  def __init__(self, index: int = 0, count: int = 1, client: Any = None):
    self.index = index
    self.count = count
    self._client = client
    self._left = threading.Event()
    self._ending = threading.Lock()
    self._watcher = threading.Thread(target=self._watch, daemon=True)

  @property
  def first(self) -> bool:
    """Whether this process is the one that writes and decides."""
    return self.index == 0

  def share(self, name: str, function: Callable[[], Any]) -> Any:
    """What process 0 gets from `function`, in all processes.

    Args:
      name: the same in all processes, and used once.
      function: called by process 0 alone; returns what JSON can hold.
    """
    if self.count == 1:
      return function()
    key = f"pokedreamer/shared/{name}"
    if self.first:
      self._client.key_value_set(key, json.dumps(function()))
    while (text := self._look(key)) is None:
      time.sleep(_ASK_S)  # short calls, so that signals are heard
    return json.loads(text)

  def in_turn(self, name: str, function: Callable[[], Any]) -> Any:
    """Calls `function` in process 0, and then in the others.

    Args:
      name: as for `share`.
      function: may find in the others what it left on the disk in process 0.
    """
    value = function() if self.first else None
    self.share(name, lambda: True)
    return value if self.first else function()

  def __enter__(self) -> "Group":
    if self.count > 1:
      self._watcher.start()
    return self

  def __exit__(self, kind: Any, error: BaseException | None, trace: Any):
    if self.count == 1:
      return
    of_all = (run_directory.Stopped, run_directory.Failed)
    if error is None or isinstance(error, of_all):
      import jax

      self._client.wait_at_barrier("pokedreamer/left", _JOIN_S * 1000)
      self._left.set()
      self._watcher.join()
      jax.distributed.shutdown()
    elif self._ending.acquire(blocking=False):
      code = cli.EXIT_FAILED
      try:
        code = cli.report(error)
      finally:  # also where stderr is closed
        self._tell(error, code)
        self._end(code)
    else:  # another failed first
      threading.Event().wait()

  def _look(self, key: str) -> str | None:
    """What a process has set, None before."""
    import jax

    try:
      return self._client.key_value_try_get(key)
    except jax.errors.JaxRuntimeError as error:
      if str(error).startswith("NOT_FOUND"):
        return None
      raise

  def _watch(self) -> None:
    """Ends this process, which may wait for ever, where another has failed."""
    import jax

    while not self._left.wait(_WATCH_S):
      try:
        told = self._look(_FAILED)
      except jax.errors.JaxRuntimeError:
        return  # process 0 is gone, and jax aborts this one
      if told is None or not self._ending.acquire(blocking=False):
        continue
      failure = json.loads(told)
      try:
        cli.say(f"Error: process {failure['process']}: {failure['text']}")
      finally:
        self._end(failure["code"])

  def _tell(self, error: BaseException, code: int) -> None:
    import jax

    text = str(error)
    if code != cli.EXIT_BAD_INPUT:
      text = f"{type(error).__name__}: {text}".splitlines()[0]
    failure = {"process": self.index, "text": text, "code": code}
    try:
      self._client.key_value_set(_FAILED, json.dumps(failure))
    except jax.errors.JaxRuntimeError:
      pass  # another has told already, or nobody listens any more

  def _end(self, code: int) -> None:
    """Leaves without cleaning up, which would wait for processes in vain."""
    import jax

    try:
      self._client.wait_at_barrier("pokedreamer/end", _LEAVE_S * 1000)
    except jax.errors.JaxRuntimeError:
      pass  # some process is dead
    if self.first:
      time.sleep(_WATCH_S)  # jax aborts those that outlive process 0
    try:
      sys.stdout.flush()
    finally:
      os._exit(code)


def join() -> Group:
  """The group that the flags speak of; without them this process is alone.

  To be called before anything wakes jax's devices.

  Raises:
    ValueError: flags that do not belong together, or are out of range.
    run_directory.Failed: no group came about.
  """
  coordinator, count, index = _read_flags()
  if coordinator is None:
    return Group()
  import jax
  from jax._src import distributed  # the client has no public name
  from jax.experimental import multihost_utils

  # It would take SIGTERM from us, and Orbax would save without the trainer.
  jax.config.update("jax_enable_preemption_service", False)
  print(f"joining the other processes ({coordinator})", flush=True)
  giving_up = threading.Timer(_JOIN_S, _give_up, [coordinator])
  giving_up.daemon = True
  giving_up.start()
  # It would be heard after the wait, which is none of Python's.
  interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
  try:
    if coordinator == _AUTO:
      jax.distributed.initialize(initialization_timeout=2 * _JOIN_S)
    else:
      jax.distributed.initialize(
        coordinator,
        count,
        index,
        initialization_timeout=2 * _JOIN_S,
        coordinator_bind_address=_bind_address(coordinator),
      )
    # All have to ask for the devices together. CPUs also get connected here,
    # while the processes are in step: gloo waits for 30 seconds only.
    multihost_utils.sync_global_devices("pokedreamer/joined")
  except ValueError as error:  # of auto: nothing else is left to be wrong
    raise ValueError(
      f"--coordinator=auto: jax finds no cluster here ({error}); give "
      "--coordinator=HOST:PORT --num_processes=N --process_id=I"
    ) from None
  except RuntimeError as error:
    line = str(error).splitlines()[0]
    raise run_directory.Failed(f"--coordinator={coordinator}: {line}") from None
  finally:
    signal.signal(signal.SIGINT, interrupt)
    giving_up.cancel()
  state = distributed.global_state
  return Group(state.process_id, state.num_processes, state.client)


def _bind_address(coordinator: str) -> str | None:
  """Where process 0 listens: at the address it was told, and no other.

  None, which is every address of the machine, where that one is not its own
  (behind a forwarded port, or a name that the others know as another machine
  than this one does); process 0 says so.
  """
  host, _, port = coordinator.rpartition(":")
  host = host.strip("[]")
  try:
    found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
  except OSError:
    found = []
  for family, _, _, _, address in found:
    ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    # Some systems give their own name to themselves alone.
    if ip.is_loopback and host not in ("localhost", str(ip)):
      continue
    try:
      with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.bind((str(ip), 0))
    except OSError:
      continue
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
  if flags.FLAGS.process_id == 0:
    cli.say(
      f"--coordinator={coordinator}: no address of this machine; listening at "
      "all of them"
    )
  return None


def _read_flags() -> tuple[str | None, int | None, int | None]:
  """Coordinator, number of processes and which one this is, checked."""
  values = flags.FLAGS
  coordinator = values.coordinator
  count, index = values.num_processes, values.process_id
  given = {
    "--coordinator": coordinator,
    "--num_processes": count,
    "--process_id": index,
  }
  missing = [name for name, value in given.items() if value is None]
  if len(missing) == len(given):
    return None, None, None
  if coordinator == _AUTO:
    if len(missing) < 2:
      raise ValueError(
        "--coordinator=auto: jax finds out the number of processes and which "
        "one this is, expected neither --num_processes nor --process_id"
      )
    return coordinator, None, None
  if missing:
    raise ValueError(
      f"{' and '.join(missing)} missing: --coordinator, --num_processes and "
      "--process_id belong together"
    )
  if not re.fullmatch(r"[^:\s]+:\d+|\[[^\]\s]+\]:\d+", coordinator):
    raise ValueError(
      f"--coordinator={coordinator}: expected HOST:PORT or {_AUTO}"
    )
  if count < 1:
    raise ValueError(f"--num_processes={count}: expected at least 1")
  if not 0 <= index < count:
    raise ValueError(f"--process_id={index}: expected 0 to {count - 1}")
  return (coordinator, count, index) if count > 1 else (None, None, None)


def _give_up(coordinator: str) -> None:
  """Ends this process with a line; jax would abort it with its stack."""
  cli.say(
    f"Error: --coordinator={coordinator}: not all processes came within "
    f"{_JOIN_S} s"
  )
  os._exit(cli.EXIT_FAILED)
