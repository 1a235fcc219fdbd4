"""Many Game Boys in lock-step, over processes and shared memory.

For policies that act in the parent on a whole batch of frames. Rows follow the
step contract: what is seen on arriving, with the reward for arriving there.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import pickle
import select
import threading
import time
from typing import Any
import weakref

import numpy as np

from data_tools.envs import vector_worker
from data_tools.game import roms
from data_tools.records import episodes
from data_tools.system import children
from pokedreamer_jax import specs

HANG_S = 120.0  # a process that is silent for so long is ended
_END_S = 5.0  # to leave in an orderly way


class Died(RuntimeError):
  """Emulator processes are gone; the others stand still."""

  def __init__(self, text: str, processes: int):
    """Says what happened to the first, and to how many it did."""
    super().__init__(text)
    self.processes = processes


# One start state for all, or one for each environment; None is power-on.
States = bytes | None | Sequence[bytes | None]


class VectorEmulator:
  """`N` emulators that step together.

  An environment that has ended stays at its last row, without reward, until
  the next `reset`. A process that died or hangs ends a call with `Died`; then
  close this and make another. Use as a context manager, or `close` it.
  """

  def __init__(
    self,
    rom: roms.Rom,
    num_envs: int,
    num_workers: int = 1,
    episode_length: int = 512,
    jitter_frames: int = 60,
  ):
    """Starts the processes.

    Args:
      rom: the game.
      num_envs: emulators `N`.
      num_workers: processes to spread them over.
      episode_length: env steps at most, the first row included.
      jitter_frames: most frames without input after a reset.

    Raises:
      ValueError: a number is too small.
    """
    if num_envs < 1 or num_workers < 1 or episode_length < 2:
      raise ValueError(
        f"num_envs {num_envs}, num_workers {num_workers}, episode_length "
        f"{episode_length}: expected at least 1, 1 and 2"
      )
    self.num_envs = num_envs
    memory = vector_worker.make_memory(num_envs)
    self._shared = vector_worker.views(memory, num_envs)
    self._reader = episodes.StreamReader(rom, num_envs)
    self._length = episode_length
    self._left = np.zeros(num_envs, int)  # rows until the time is over
    self._ended = np.zeros(num_envs, bool)
    self._shares: list[list[int]] = [
      share.tolist()
      for share in np.array_split(
        np.arange(num_envs), min(num_workers, num_envs)
      )
    ]
    self._senders: dict[int, threading.Thread] = {}  # of the last command
    self._processes: list[children.Child] = []
    self._answers: list[select.poll] = []  # whether there is one
    self._closing = weakref.finalize(self, _end, self._processes)
    for share in self._shares:
      self._processes.append(
        children.Child(
          vector_worker.work,
          *(rom, memory, num_envs, share, jitter_frames),
          name="emulator process",
          memory=[memory],
        )
      )
      self._answers.append(select.poll())
      self._answers[-1].register(self._processes[-1].connection, select.POLLIN)

  def reset(
    self, seeds: Sequence[int | None], save_state: States = None
  ) -> dict[str, np.ndarray]:
    """Starts an episode in every environment.

    Args:
      seeds: one for each environment; equal seeds begin alike. None leaves
        an environment where it is, at its last row.
      save_state: where to start; None for power-on, a list has one for each.

    Returns:
      The first rows: every step field `[N, ...]`, copies.

    Raises:
      ValueError: not one seed and state for each, or a state does not fit.
    """
    resets = self._resets(seeds, save_state)
    self._shared[vector_worker.ACTIONS][:] = vector_worker.STAY
    return self._command("reset", resets)

  def step(
    self,
    actions: Sequence[int] | np.ndarray,
    reset_seeds: Sequence[int | None] | None = None,
    save_state: States = None,
  ) -> dict[str, np.ndarray]:
    """Takes one agent step in every environment that has not ended.

    Args:
      actions: `[N]` indices into ACTIONS.
      reset_seeds: environments with a seed start an episode instead of
        stepping, beside the others; None for no environment.
      save_state: where these start; None for power-on, a list has one for
        each environment.

    Returns:
      The rows arrived at, every step field `[N, ...]`, copies. `action` and
      `behaviour` are not chosen yet: `PASS` and nobody.

    Raises:
      ValueError: not one valid action, seed and state for each, a state does
        not fit, or no reset came before.
    """
    chosen = np.asarray(actions)
    # A float would be cut to the action below it, and True be one.
    if (
      not np.issubdtype(chosen.dtype, np.integer)
      or chosen.shape != (self.num_envs,)
      or not ((chosen >= 0) & (chosen < specs.NUM_ACTIONS)).all()
    ):
      raise ValueError(
        f"actions: {chosen.dtype}{list(chosen.shape)}, expected "
        f"{self.num_envs} whole numbers in 0..{specs.NUM_ACTIONS - 1}"
      )
    seeds = [None] * self.num_envs if reset_seeds is None else reset_seeds
    resets = self._resets(seeds, save_state)
    acting = self._shared[vector_worker.ACTIONS]
    acting[:] = chosen
    acting[self._ended] = vector_worker.STAY
    return self._command("step", resets)

  def keep(self, which: Sequence[int]) -> list[vector_worker.Kept]:
    """The games of some environments as they are, to go back to; 14 ms each.

    Raises:
      ValueError: one has not begun, or has ended.
    """
    if self._ended[list(which)].any():
      raise ValueError("keep: expected a game that goes on")
    machines: dict[int, bytes] = {}
    for answer in _found(self._ask("keep", dict.fromkeys(which))):
      machines |= answer or {}
    return [
      vector_worker.Kept(machines[i], self._reader.keep(i)) for i in which
    ]

  def go_back(self, kept: Sequence[vector_worker.Kept]) -> None:
    """Every environment goes on from where a game was kept, as it would have.

    That is the first row of `episode_length`; it is not read again.

    Args:
      kept: one for each environment, of the same ROM.

    Raises:
      ValueError: not one for each, or one does not fit.
    """
    if len(kept) != self.num_envs:
      raise ValueError(
        f"{len(kept)} kept games for {self.num_envs} environments"
      )
    machines = {i: game.machine for i, game in enumerate(kept)}
    _found(self._ask("go_back", machines))
    for i, game in enumerate(kept):
      self._reader.go_back(i, game.known)
    self._left[:] = self._length - 1  # the first row is known
    self._ended[:] = False

  def close(self) -> None:
    """Ends the processes."""
    for i in range(len(self._processes)):
      # The last call was interrupted, and its command may never be taken.
      if i in self._senders and self._senders[i].is_alive():
        self._processes[i].kill()
        self._senders[i].join()
    self._closing()

  def __enter__(self) -> "VectorEmulator":
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def _resets(
    self, seeds: Sequence[int | None], save_state: States
  ) -> vector_worker.Resets:
    """Seed and start state of every environment that is to begin."""
    if len(seeds) != self.num_envs:
      raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments")
    if save_state is None or isinstance(save_state, bytes):
      save_state = [save_state] * self.num_envs
    if len(save_state) != self.num_envs:
      raise ValueError(
        f"{len(save_state)} start states for {self.num_envs} environments"
      )
    # Equal states become one object, which a message carries once.
    same: dict[bytes | None, bytes | None] = {}
    return {
      i: (int(seed), same.setdefault(state, state))
      for i, (seed, state) in enumerate(zip(seeds, save_state, strict=True))
      if seed is not None
    }

  def _command(
    self, command: str, resets: vector_worker.Resets
  ) -> dict[str, np.ndarray]:
    """The rows `[N, ...]` that environments stand at after a command."""
    self._shared[vector_worker.MOVED][:] = False
    answers = self._ask(command, resets)
    moved = np.flatnonzero(self._shared[vector_worker.MOVED])
    rows = self._read(moved, resets)  # whatever became of the others
    _found(answers)
    if rows is not None and len(moved) == self.num_envs:
      return rows
    still = np.flatnonzero(~self._shared[vector_worker.MOVED])
    stays = self._reader.again(still, *self._shows(still))
    stays["is_last"] = self._ended[still]
    return stays if rows is None else _merged(moved, rows, still, stays)

  def _ask(
    self, command: str, given: Mapping[int, Any]
  ) -> list[tuple[str, Any]]:
    """What each process answers to a command for environments."""
    deadline_s = time.monotonic() + HANG_S
    self._senders = {}
    for i, share in enumerate(self._shares):
      mine = {env: given[env] for env in share if env in given}
      message = (command, mine) if mine or command != "step" else None
      if not mine:
        # Every command was answered, so the socket has room for this one.
        self._send(i, message)
        continue
      # States may not fit in it; a process that hangs would block the call.
      self._senders[i] = threading.Thread(
        target=self._send, args=(i, message), daemon=True
      )
      self._senders[i].start()
    # Every answer is taken before one is raised, so that none is left behind.
    answers = [self._answer(i, deadline_s) for i in range(len(self._processes))]
    for sender in self._senders.values():
      sender.join()  # its message was taken, or its process is gone
    died = [text for kind, text in answers if kind == "Died"]
    if died:
      raise Died(died[0], len(died))
    return answers

  def _read(
    self, moved: np.ndarray, resets: vector_worker.Resets
  ) -> dict[str, np.ndarray] | None:
    """The rows `[K, ...]` of games that have gone on, if any have."""
    for i in moved.tolist() if resets else ():
      if i in resets:
        self._reader.restart(i)
        self._left[i] = self._length
    if not len(moved):
      return None
    rows = self._reader.read(moved, *self._shows(moved))
    self._left[moved] -= 1
    rows["is_last"] |= self._left[moved] == 0
    self._ended[moved] = rows["is_last"]
    return rows

  def _shows(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and copied memory `[K, ...]` of some games, copies."""
    names = (vector_worker.FRAME, vector_worker.RAM)
    frames, ram = (self._shared[name] for name in names)
    if len(which) == self.num_envs:
      return frames.copy(), ram.copy()
    return frames[which], ram[which]

  def _send(self, i: int, message: tuple[Any, ...] | None) -> None:
    connection = self._processes[i].connection
    try:
      if message is None:
        connection.send_bytes(vector_worker.NOTHING)
      else:
        connection.send(message)
    except OSError:
      pass  # receiving says why

  def _answer(self, i: int, deadline_s: float) -> tuple[str, Any]:
    process = self._processes[i]
    try:
      left_ms = 1000 * max(0.0, deadline_s - time.monotonic())
      if self._answers[i].poll(left_ms):
        data = process.connection.recv_bytes()
        return pickle.loads(data) if data else ("ok", "")
      what = f"was silent for {HANG_S:.0f} s and was ended"
      process.kill()
      process.join()
    except (EOFError, OSError):
      what = process.how_it_ended()
    return "Died", f"emulator process {i} {what}"


def _found(answers: Sequence[tuple[str, Any]]) -> list[Any]:
  """What processes found; raises what the first of them raised."""
  for kind, text in answers:
    if kind != "ok":
      raise (ValueError if kind == "ValueError" else RuntimeError)(text)
  return [found for _, found in answers]


def _merged(
  moved: np.ndarray,
  rows: dict[str, np.ndarray],
  still: np.ndarray,
  stays: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """Rows `[N, ...]` of some environments, and those of the others."""
  merged = {}
  for name, array in rows.items():
    together = np.empty(
      (len(moved) + len(still), *array.shape[1:]), array.dtype
    )
    together[moved], together[still] = array, stays[name]
    merged[name] = together
  return merged


def _end(processes: list[children.Child]) -> None:
  """Tells all processes, then waits for each."""
  for process in processes:
    with contextlib.suppress(OSError):
      process.connection.send(("close",))
  while processes:
    processes.pop().close(_END_S)
