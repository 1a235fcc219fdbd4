"""Our loader and what it is compared with, as `benchmark_data` runs them.

Rivals give float32 RGB batches `[B, T, 3, 144, 160]` of frames that lie in
memory as RGB bytes: nothing is read from a disk or decompressed. `rival` and
`fused` use threads that make a batch each, since numpy lets go of the
interpreter; `torch` is PyTorch's own DataLoader over processes.
"""

from collections import deque
from collections.abc import Generator
from collections.abc import Iterator
from concurrent import futures
import importlib.util
import itertools
import pathlib
import shutil
import time
from typing import Any
from typing import Protocol

import numpy as np

from data_tools.game import frame_codec
from data_tools.records import loader
from pokedreamer_jax import specs

BATCH_SIZE, SEQ_LEN = 64, 64
THREADS = 2  # of our loader and of its rivals, or processes
PREFETCH = 4  # batches that our loader keeps ready
# The numpy rivals' batches are smaller: 64 x 64 float frames are 1.1 GB.
RIVAL_BATCH_SIZE = 8
# What our loader holds: ready, in the making and handed over.
OURS_HELD_BYTES = (
  (PREFETCH + THREADS + 1) * BATCH_SIZE * SEQ_LEN * specs.BYTES_PER_STEP
)
NAMES = ("ours", "cached", "rival", "fused", "torch", "copy")

_UNKNOWN_FREE_BYTES = 4 << 30  # taken to be free where Linux does not say
_FRAME_FLOATS = 3 * specs.FRAME_HEIGHT * specs.FRAME_WIDTH
_RIVAL_STEPS = 2048  # 0.14 GB of RGB
# Batches of PyTorch's: ready or in the making (its default), handed over, and
# for each process the samples that are not stacked yet.
_TORCH_PREFETCH = 2
_TORCH_HELD = _TORCH_PREFETCH * THREADS + 1 + THREADS


class Loader(Protocol):
  """Batches without end, counted in frames; a context manager."""

  batch_size: int

  def frames(self) -> Iterator[int]:
    """The same iterator on every call; an element is one batch's frames."""

  def settle(self) -> None:
    """Waits until helpers have made ready all that they may."""

  def __enter__(self) -> "Loader": ...

  def __exit__(self, *error: object) -> None: ...


def names() -> list[str]:
  """What can be run here."""
  with_torch = importlib.util.find_spec("torch") is not None
  return [name for name in NAMES if name != "torch" or with_torch]


def make(name: str, index: loader.EpisodeIndex) -> "Loader":
  """The loader called `name`, one of `NAMES`, over the episodes of `index`."""
  if name in ("ours", "cached"):
    return _Threads(BATCH_SIZE, ours(index))
  if name == "copy":
    return _Threads(BATCH_SIZE, _copies())
  if name == "torch":
    return _Torch(rgb_episodes(index))
  return Rival(rgb_episodes(index), name == "fused")


def drain(frames: Iterator[int]) -> None:
  """Takes what helpers had made ready before, which would count as free."""
  for _ in range(PREFETCH + THREADS):
    next(frames)


def ours(index: loader.EpisodeIndex) -> Iterator[int]:
  """Our batches as training reads them, every field of them."""
  source = loader.BatchSource(index, BATCH_SIZE, SEQ_LEN, seed=0)
  for batch in loader.batches(source, 0, THREADS, PREFETCH):
    yield batch["frame"].shape[0] * batch["frame"].shape[1]


def rgb_episodes(index: loader.EpisodeIndex) -> list[np.ndarray]:
  """RGB frames `[T, 144, 160, 3]` of some episodes, in memory."""
  found: list[np.ndarray] = []
  for _, steps in index.episodes(["frame"]):
    if len(steps["frame"]) >= SEQ_LEN:
      found.append(frame_codec.unpack_rgb(steps["frame"]))
    if sum(map(len, found)) >= _RIVAL_STEPS:
      break
  return found


def _copies() -> Iterator[int]:
  """Moves the bytes of our batches and does nothing else: the limit."""
  batch = np.empty((BATCH_SIZE * SEQ_LEN, specs.BYTES_PER_STEP), np.uint8)
  source = np.ones((8 * len(batch), specs.BYTES_PER_STEP), np.uint8)
  for number in itertools.count():
    start = number % 8 * len(batch)
    np.copyto(batch, source[start : start + len(batch)])
    yield len(batch)


class _Threads:
  """Batches that this process makes, with threads or without."""

  def __init__(self, batch_size: int, frames: Iterator[int]):
    self.batch_size = batch_size
    self._frames = frames

  def frames(self) -> Iterator[int]:
    return self._frames

  def settle(self) -> None:
    used = -1.0
    while (now := time.process_time()) - used > 0.005:
      used = now
      time.sleep(0.05)

  def __enter__(self) -> "_Threads":
    return self

  def __exit__(self, *error: object) -> None:
    pass


class Rival(_Threads):
  """Float32 RGB batches by numpy.

  As a data set of tensors makes them: a sample is cut out, turned to channels
  first, made float32 and divided; samples are then stacked to a batch.
  `fused` does all of that at once in the sample's place in the batch, which is
  the best that numpy can do and what no such data set does.
  """

  def __init__(self, episodes: list[np.ndarray], fused: bool = False):
    self._fused = fused
    self._episodes = episodes
    self._pool = futures.ThreadPoolExecutor(THREADS)
    super().__init__(RIVAL_BATCH_SIZE, self._batches())

  def batch(self, seed: int) -> np.ndarray:
    """One batch `[B, T, 3, 144, 160]` float32."""
    rng = np.random.default_rng(seed)
    windows = []
    for _ in range(RIVAL_BATCH_SIZE):
      episode = self._episodes[rng.integers(len(self._episodes))]
      start = rng.integers(len(episode) - SEQ_LEN + 1)
      # [T, 144, 160, 3] -> [T, 3, 144, 160]
      windows.append(episode[start : start + SEQ_LEN].transpose(0, 3, 1, 2))
    if not self._fused:
      samples = [
        np.ascontiguousarray(window, np.float32) / np.float32(255)
        for window in windows
      ]
      return np.stack(samples)
    out = np.empty((len(windows), *windows[0].shape), np.float32)
    for sample, window in zip(out, windows, strict=True):
      np.multiply(window, np.float32(1 / 255), out=sample)
    return out

  def __exit__(self, *error: object) -> None:
    self._pool.shutdown(cancel_futures=True)

  def _batches(self) -> Iterator[int]:
    """Batches in the order asked for, `THREADS` in the making."""
    seeds = itertools.count()
    pending = deque(
      self._pool.submit(self.batch, next(seeds)) for _ in range(THREADS)
    )
    while True:
      batch = pending.popleft().result()
      pending.append(self._pool.submit(self.batch, next(seeds)))
      yield batch.shape[0] * batch.shape[1]


class _Torch:
  """`torch.utils.data.DataLoader` over windows, with its default collation.

  Batches are of 64 windows where they fit into a third of the memory that is
  free, else of the largest power of two that does.
  """

  def __init__(self, episodes: list[np.ndarray]):
    from torch.utils import data

    self.batch_size = torch_batch_size(_free_bytes())
    windows = WindowDataset(episodes)
    self._loader = data.DataLoader(
      windows,
      batch_size=self.batch_size,
      sampler=data.RandomSampler(
        windows, replacement=True, num_samples=1 << 30
      ),
      num_workers=THREADS,
      prefetch_factor=_TORCH_PREFETCH,
    )
    self._counts = self._batches()
    self._wait_s = 0.0  # the longest for one batch

  def frames(self) -> Iterator[int]:
    return self._counts

  def settle(self) -> None:
    # No more is in the making than this, by so many processes.
    time.sleep((1 + _TORCH_PREFETCH) * self._wait_s)

  def _batches(self) -> Generator[int, None, None]:
    batches = iter(self._loader)
    while True:
      began = time.perf_counter()
      batch = next(batches)
      self._wait_s = max(self._wait_s, time.perf_counter() - began)
      yield batch.shape[0] * batch.shape[1]

  def __enter__(self) -> "_Torch":
    return self

  def __exit__(self, *error: object) -> None:
    self._counts.close()  # ends its processes


class WindowDataset:
  """A map-style data set of windows, as PyTorch's DataLoader takes it."""

  def __init__(self, episodes: list[np.ndarray]):
    self._episodes = episodes
    counts = [len(episode) - SEQ_LEN + 1 for episode in episodes]
    self._ends = np.cumsum(counts)

  def __len__(self) -> int:
    return int(self._ends[-1])

  def __getitem__(self, number: int) -> Any:
    """Window as a tensor `[T, 3, 144, 160]` float32 in [0, 1]."""
    import torch

    episode = int(np.searchsorted(self._ends, number, side="right"))
    start = number - (int(self._ends[episode - 1]) if episode else 0)
    window = torch.from_numpy(self._episodes[episode][start : start + SEQ_LEN])
    return window.permute(0, 3, 1, 2).float().div_(255)


def torch_batch_size(free_bytes: int) -> int:
  """Windows of a float32 RGB batch, so that all that is held fits."""
  size = BATCH_SIZE
  held = _TORCH_HELD * SEQ_LEN * _FRAME_FLOATS * 4  # for one window a batch
  while size > 1 and size * held > free_bytes // 3:
    size //= 2
  return size


def _free_bytes() -> int:
  """Memory that processes here may still take, also of the shared kind."""
  memory, shared = pathlib.Path("/proc/meminfo"), pathlib.Path("/dev/shm")
  if not memory.exists() or not shared.exists():
    return _UNKNOWN_FREE_BYTES
  (line,) = (
    line
    for line in memory.read_text().splitlines()
    if line.startswith("MemAvailable:")
  )
  return min(shutil.disk_usage(shared).free, int(line.split()[1]) << 10)
