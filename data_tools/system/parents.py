"""A process that ends when the one that started it does."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_S = 0.5


def end_with_parent(parent: int, by_main_thread: bool = True) -> None:
  """Ends this process, without cleaning up, when its parent is gone.

  To be called first in a new process. A thread looks every half second, also
  while PyBoy runs. On Linux the kernel does the same at once, whatever this
  process is in; there it counts as the end of the parent when the thread ends
  that started this process, so that the kernel is asked only where that was
  the main thread. On macOS there is the thread alone.

  Args:
    parent: the number of the process that started this one, as it knows it.
    by_main_thread: whether its main thread did.
  """
  if sys.platform == "linux" and by_main_thread:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
  if os.getppid() != parent:  # it was quicker
    os._exit(1)
  threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
  while os.getppid() == parent:
    time.sleep(_LOOK_S)
  os._exit(1)
