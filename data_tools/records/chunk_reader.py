"""Unpacked chunks of a generation's shards, read once while memory lasts.

A shard is compared with the generation's list before its first chunk is
unpacked, so that what was damaged or exchanged since is told and never read.
"""

from collections import OrderedDict
import threading
from typing import Any

import numpy as np

from data_tools.records import generations
from data_tools.records import shards
from pokedreamer_jax import whole_files

# Memory for unpacked chunks, 5.9 kB a step: data sets of up to 180,000 steps
# are unpacked once. Of a larger one this share is, and the rest is read anew.
CACHE_BYTES = 1 << 30
# Shards open at a time, each a file: a process may have as few as 256.
_MOST_OPEN = 128


class ChunkReader:
  """Decompressed chunks of a generation's shards, the latest used kept.

  Safe to use from several threads.
  """

  def __init__(self, generation: generations.Generation, cache_bytes: int):
    """Opens nothing yet; shards are opened when chunks are asked for.

    Args:
      generation: which shards there are, and what each must hold.
      cache_bytes: memory for decompressed chunks.
    """
    self._directory = generation.data_dir / generations.SHARDS_DIR
    self._cache_bytes = cache_bytes
    self._cache: OrderedDict[tuple[str, int], dict] = OrderedDict()
    self._sizes: dict[tuple[str, int], int] = {}
    self._used_bytes = 0
    self._readers: OrderedDict[str, Any] = OrderedDict()
    self._listed = {shard.name: shard for shard in generation.shards}
    self._lock = threading.Lock()

  def read(
    self, wanted: set[tuple[str, int]]
  ) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """Chunks by (shard, record): step fields `[<= CHUNK_STEPS, ...]`.

    Raises:
      ValueError: a shard is not the one that was listed, or damaged.
    """
    found = {}
    with self._lock:
      for key in wanted:
        if key in self._cache:
          self._cache.move_to_end(key)
          found[key] = self._cache[key]
    by_shard: dict[str, list[int]] = {}
    for shard, record in sorted(wanted - found.keys()):
      by_shard.setdefault(shard, []).append(record)
    for shard, numbers in by_shard.items():
      for record, blob in zip(
        numbers, self._read_blobs(shard, numbers), strict=True
      ):
        chunk, _ = shards.decode(blob)
        found[shard, record] = chunk
        self._keep((shard, record), chunk, len(blob))
    return found

  def _read_blobs(self, shard: str, numbers: list[int]) -> list[bytes]:
    try:
      return self._reader(shard).read(numbers)
    except (RuntimeError, IndexError) as error:
      raise ValueError(
        f"shard {self._directory / shard}: {error} (damaged after it was "
        "frozen; freeze a new generation to leave it out)"
      ) from error

  def _reader(self, shard: str):
    with self._lock:
      if shard not in self._readers:
        from array_record.python import array_record_module

        self._compare(shard)
        if len(self._readers) == _MOST_OPEN:  # who still reads it keeps it
          self._readers.popitem(last=False)
        self._readers[shard] = array_record_module.ArrayRecordReader(
          str(self._directory / shard),
          "readahead_buffer_size:0,max_parallelism:0",
        )
      self._readers.move_to_end(shard)
      return self._readers[shard]

  def _compare(self, shard: str) -> None:
    """Compares a shard with the list, before its first record is unpacked."""
    listed = self._listed.pop(shard, None)
    if listed is None:
      return  # opened again
    path = self._directory / shard
    try:
      found = whole_files.file_digest(path)
    except OSError as error:
      raise ValueError(f"shard {path}: {error.strerror}") from None
    if found != (listed.size_bytes, listed.sha256):
      self._listed[shard] = listed  # whoever asks again hears the same
      raise ValueError(
        f"shard {path}: damaged or exchanged after it was frozen (its SHA-256 "
        "is another one); freeze a new generation to leave it out"
      )

  def _keep(self, key: tuple[str, int], chunk: dict, size: int) -> None:
    with self._lock:
      if key in self._cache or size > self._cache_bytes:
        return
      self._cache[key] = chunk
      self._sizes[key] = size
      self._used_bytes += size
      while self._used_bytes > self._cache_bytes:
        oldest, _ = self._cache.popitem(last=False)
        self._used_bytes -= self._sizes.pop(oldest)
