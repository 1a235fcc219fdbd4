"""Posterior states of whole recorded episodes, encoded once.

Episodes are laid end to end in parallel streams and encoded chunk by chunk;
the state is carried from chunk to chunk and begins anew where an episode does,
as in acting. Data streams through: frames of a few chunks are held at a time.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import functools

import jax
import numpy as np

from data_tools.players import policies
from data_tools.records import loader
from experiments.runs import progress
from experiments.runs import run_directory
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.world_model import model as world_model

# What is read of a record.
FIELDS = (
  "frame",
  *latents.ROW_FIELDS,
  *(field.name for field in specs.RAM_FIELDS),
)


def choose_episodes(
  config: config_lib.Config,
  index: loader.EpisodeIndex,
  behaviours: Sequence[str] | None = None,
) -> list[int]:
  """Places of the episodes to encode: all, or a random part of `max_rows`.

  Args:
    config: gives `latents` and the seed.
    index: the episodes.
    behaviours: only episodes that one of these plays, whatever its settings,
      as in "demonstrator" for "demonstrator:eps=0.1"; None for all.
  """
  places = [
    place
    for place, header in enumerate(index.headers)
    if behaviours is None or header.behaviour.split(":")[0] in behaviours
  ]
  order = np.random.default_rng([config.seed, 7]).permutation(places).tolist()
  most = config.latents.max_rows
  own = [
    place
    for place in order
    if policies.is_learned(index.headers[place].behaviour)
  ]
  first = _fitting(index, own, int(most * config.latents.own_share))
  left = [place for place in order if place not in set(first)]
  rows = int(index.lengths[first].sum()) if first else 0
  fitting = first + _fitting(index, left, most - rows)
  return sorted(fitting or order[:1])


def _fitting(
  index: loader.EpisodeIndex, order: list[int], most_rows: int
) -> list[int]:
  """The first of some episodes, as many as have `most_rows` together."""
  rows = np.cumsum(index.lengths[order]) if order else np.zeros(0)
  return order[: int((rows <= most_rows).sum())]


def encode(
  config: config_lib.Config,
  params: world_model.Params,
  index: loader.EpisodeIndex,
  places: list[int],
  key: jax.Array,
  told: Callable[[int, int], None] = lambda done, total: None,
) -> latents.Latents:
  """Posterior states of every row of some episodes.

  Args:
    config: the configuration.
    params: of the world model.
    index: the episodes.
    places: which of them.
    key: typed PRNG key; consumed.
    told: called with the rows done and their total.

  Returns:
    `Latents` with numpy leaves `[M, ...]`, the rows of an episode in order;
    episodes in the order of `share_out`.
  """
  streams = share_out(config, index, places)
  longest = max(int(index.lengths[stream].sum()) for stream in streams)
  chunk = config.latents.chunk
  count = -(-longest // chunk)  # every stream is padded to so many chunks

  readers = [_read_rows(index, stream, chunk, count) for stream in streams]
  state = world_model.initial_state(config.world_model, (len(streams),))
  last_action = np.full(len(streams), specs.PASS, np.uint8)
  total = int(index.lengths[places].sum())
  chunks, valid, done = [], [], 0
  for number, parts in enumerate(zip(*readers, strict=True)):
    batch = {
      name: np.stack([part[name] for part, _ in parts]) for name in FIELDS
    }
    counts = np.array([count for _, count in parts])
    packed, state = _encode_chunk(
      config.world_model,
      params,
      jax.random.fold_in(key, number),
      state,
      batch | {"first_action_tm1": last_action},
    )
    last_action = batch["action"][:, -1]
    chunks.append(jax.device_get(packed))
    valid.append(np.arange(chunk)[None] < counts[:, None])
    done += int(counts.sum())
    told(done, total)
  keep = np.stack(valid, axis=1)  # [streams, chunks, chunk]
  return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1)[keep], *chunks)


# Jitted here once, so that two calls of `encode` compile once.
@functools.partial(jax.jit, static_argnums=0)
def _encode_chunk(cfg, params, key, start, batch):
  seen = world_model.observe(
    cfg, params, key, batch, start, infer=cfg.infers_tokens
  )
  last = jax.tree.map(lambda leaf: leaf[:, -1], seen.state)
  return latents.pack(seen.state, batch), last


def encode_with_progress(
  config: config_lib.Config,
  params: world_model.Params,
  index: loader.EpisodeIndex,
  places: list[int],
  label: str,
  run: run_directory.Run,
) -> latents.Latents:
  """`encode` with a bar; a stop request ends it, there is nothing to save."""
  total = int(index.lengths[places].sum())
  with progress.Progress(label, total, "rows") as bar:
    bar.compiling(about_s=8)

    def told(done: int, total: int) -> None:
      del total
      bar.update(done)
      if run.stop_requested:
        raise run.stopped("the last checkpoint")

    key = jax.random.fold_in(jax.random.key(config.seed), 2)
    return encode(config, params, index, places, key, told)


def share_out(
  config: config_lib.Config, index: loader.EpisodeIndex, places: list[int]
) -> list[list[int]]:
  """Episodes per stream, the longest first to the shortest stream.

  The rows of `encode` are those of the first stream, of the second, ...
  """
  # Always so many, empty ones too: one shape compiles once.
  shares: list[list[int]] = [[] for _ in range(config.latents.streams)]
  loads = np.zeros(len(shares))
  for place in sorted(places, key=lambda p: -index.lengths[p]):
    shortest = int(np.argmin(loads))
    shares[shortest].append(place)
    loads[shortest] += index.lengths[place]
  return shares


def _read_rows(
  index: loader.EpisodeIndex, places: list[int], chunk: int, count: int
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
  """`count` chunks of rows, and how many of each are real, not padding."""
  held = {name: array[:0] for name, array in specs.empty_steps(1).items()}
  for _ in range(count):
    while places and len(held["action"]) < chunk:
      place, *places = places
      rows = index.read(place, 0, int(index.lengths[place]), FIELDS)
      held = {name: np.concatenate([held[name], rows[name]]) for name in FIELDS}
    real = min(len(held["action"]), chunk)
    padding = specs.empty_steps(chunk - real)
    yield (
      {
        name: np.concatenate([held[name][:real], padding[name]])
        for name in FIELDS
      },
      real,
    )
    held = {name: rows[real:] for name, rows in held.items()}
