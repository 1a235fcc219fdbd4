"""Where the player is when nobody says: a belief over places near the last one.

With `ram=inferred` a frame alone names the place, and is often wrong: two parts
of a cave look the same, and a battle shows no place at all. Here a few
candidates are weighed: the cells around the last place, where the prior expects
to be, and what the frame's guess suggests, here or on another map (a warp). The
weight of each is the product of three opinions:

- the prior's, which knows the last place and the action;
- that of the guess from the frame;
- that of the atlas: each of the frame's tiles that is not what the atlas holds
  there speaks against a candidate.

All is of one row and unbatched. `K` candidates, `R` one-hot tokens.
"""

from collections.abc import Mapping
import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import packing
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_clocks
from pokedreamer_jax.world_model import atlas_view
from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import tokens

_PLACE = ("map", "y", "x")
# A step is one cell; who jumps down a ledge goes two.
_REACH = 2
_NEAR = np.array(
  [
    (down, right)
    for down in range(-_REACH, _REACH + 1)
    for right in range(-_REACH, _REACH + 1)
    if abs(down) + abs(right) <= _REACH
  ],
  np.int32,
)
_GUESSES = 2  # rows, and columns, that the frame suggests
_WARPS = 2  # maps that the prior suggests
NUM_CANDIDATES = len(_NEAR) + 2 * _GUESSES**2 + _WARPS
# Nats that a tile speaks against a place. Tiles of a screen go together, so
# each counts for far less than alone.
_MISS_NATS = 0.1
# Tiles of which nothing is known speak half as much, and no candidate is worse
# off than with half the screen wrong: battles and fades say nothing.
_UNKNOWN, _MOST_MISSES = 0.5, packing.NUM_TILES // 2


@flax.struct.dataclass
class Belief:
  """Candidates and what each weighs; of equal ones the first has it all."""

  where: atlas_lib.Place  # leaves [K]
  weight: jax.Array  # [K] float32, sums to 1

  @property
  def best(self) -> atlas_lib.Place:
    """The place of most weight, leaves `[]`."""
    number = jnp.argmax(self.weight)
    return jax.tree.map(lambda leaf: leaf[number], self.where)


def believe(
  cfg: world_model_config.WorldModelConfig,
  atlas: atlas_lib.Atlas | None,
  prior: jax.Array,
  chain: jax.Array,
  guess: jax.Array,
  tokens_tm1: jax.Array,
  ids: jax.Array | None,
  scores: jax.Array | None = None,
) -> Belief:
  """Weighs where a row may be.

  Args:
    cfg: sizes.
    atlas: the map memory; without one it has no say.
    prior: logits of the tokens before the frame, `[R]`, without chain terms.
    chain: matrix of the tokens' chain, `[R, R]`, or `[R + C, R + C]`.
    guess: logits of the tokens from the frame, `[R]`.
    tokens_tm1: of the last state, one-hot `[R]`; zeros where it is first.
    ids: the frame as tile numbers `[360]`; needed with an atlas.
    scores: of changes, `[C]`, where they are part of the chain; `prior` is then
      without them.
  """
  sizes = cfg.token_sizes
  parts = tokens.slices(sizes)
  seen = tokens.one_hot(sizes, tokens.numbers(sizes, guess))
  before = prior_of(cfg, prior, chain, seen, tokens_tm1, scores)
  where = _candidates(sizes, before, guess, tokens_tm1)
  score = before.log_prob(where)
  for name in _PLACE:
    log_prob = jax.nn.log_softmax(guess[parts[name]])
    score += log_prob[getattr(where, name)]
  if atlas is not None and ids is not None:
    at_rest = jnp.all(atlas_view.shift(sizes, seen) == 0)
    misses = _misses(atlas, cfg.tile_vocab, sizes, seen, where, ids)
    score -= jnp.where(at_rest, _MISS_NATS * misses, 0.0)
  weight = jax.nn.softmax(jnp.where(_is_new(where), score, -jnp.inf))
  return Belief(where=where, weight=weight)


def prior_of(
  cfg: world_model_config.WorldModelConfig,
  prior: jax.Array,
  chain: jax.Array,
  seen: jax.Array,
  tokens_tm1: jax.Array,
  scores: jax.Array | None = None,
) -> "Prior":
  """The prior of places; arguments as of `believe`, `seen` one-hot `[R]`."""
  sizes = cfg.token_sizes
  told = seen * _tells_map(sizes)
  if scores is None:
    return Prior(sizes, prior, chain, told)
  told = jnp.concatenate([told, _told_changes(cfg, tokens_tm1, seen)])
  changes = _PlaceChanges(cfg, scores, chain, told, tokens_tm1)
  return Prior(sizes, prior, chain, told, changes)


def with_place(
  sizes: Mapping[str, int], hot: jax.Array, where: atlas_lib.Place
) -> jax.Array:
  """Tokens `[R]`, one-hot, with another place `[]` in them."""
  for name, part in tokens.slices(sizes).items():
    if name in _PLACE:
      number = getattr(where, name)
      hot = hot.at[part].set(jax.nn.one_hot(number, sizes[name]))
  return hot


class Prior:
  """What the prior thinks of places, given the tokens before them."""

  def __init__(self, sizes, logits, chain, before, changes=None):
    parts = tokens.slices(sizes)
    self._changes = changes
    own = {n: logits[parts[n]] + before @ chain[:, parts[n]] for n in _PLACE}
    at = lambda one, other: chain[parts[one], parts[other]]
    causal = list(sizes).index
    # What each token owes to an earlier one of the place, `[values, values]`.
    self._own = own
    self._owes = {
      (one, other): at(one, other)
      for one in _PLACE
      for other in _PLACE
      if causal(one) < causal(other)
    }

  def logits(self, name: str, given: Mapping[str, jax.Array]) -> jax.Array:
    """Of `name`'s values, `[..., values]`, with tokens of the place given."""
    logits = self._own[name]
    for one, number in given.items():
      if (one, name) in self._owes:
        logits = _sum(logits, self._owes[one, name][number])
    if self._changes is not None:
      logits = _sum(logits, self._changes.terms(name, given))
    return logits

  def log_prob(self, where: atlas_lib.Place) -> jax.Array:
    """Log-probabilities `[K]`."""
    given = {name: getattr(where, name) for name in _PLACE}
    total = jnp.zeros(where.map.shape)
    for name in _PLACE:
      log_prob = jax.nn.log_softmax(self.logits(name, given))
      log_prob = jnp.broadcast_to(log_prob, (*total.shape, log_prob.shape[-1]))
      index = given[name][:, None]
      total += jnp.take_along_axis(log_prob, index, axis=-1)[:, 0]
    return total


class _PlaceChanges:
  """What changes add to the prior of places, where the chain has them."""

  def __init__(self, cfg, scores, chain, before, tokens_tm1):
    sizes, spans = cfg.token_sizes, relative_tokens.changes(cfg)
    counts = relative_tokens.counts(cfg)
    ends = dict(zip(sizes, np.cumsum(counts).tolist(), strict=True))
    first = {n: ends[n] - k for n, k in zip(sizes, counts, strict=True)}
    values = sum(sizes.values())
    self._order = [name for name in sizes if name in _PLACE]
    self._chain = chain
    self._values = tokens.slices(sizes)
    self._parts = {
      n: slice(values + first[n], values + ends[n]) for n in _PLACE
    }
    self._low = {name: spans[name][0] for name in _PLACE}
    self._known = relative_tokens.known(tokens_tm1)[0]
    self._last = {n: jnp.argmax(tokens_tm1[self._values[n]]) for n in _PLACE}
    self._scores = {
      n: scores[first[n] : ends[n]] + before @ chain[:, self._parts[n]]
      for n in _PLACE
    }

  def terms(self, name, given) -> jax.Array:
    """Of `name`'s values, `[..., values]`, with tokens of the place given."""
    values, part = self._values[name], self._parts[name]
    scores = self._scores[name]
    owed = jnp.zeros(values.stop - values.start)
    for one in self._order[: self._order.index(name)]:
      if one in given:
        change = self._change(one, given[one])  # as a one-hot
        rows, own = self._chain[self._values[one]], self._parts[one]
        scores = _sum(scores, rows[given[one]][..., part])
        scores = _sum(scores, change @ self._chain[own, part])
        owed = _sum(owed, change @ self._chain[own, values])
    every = self._change(name, jnp.arange(values.stop - values.start))
    return _sum(owed, scores @ every.T)

  def _change(self, name, number) -> jax.Array:
    """What a token changes by if it is `number` `[...]`: `[..., changes]`."""
    part = self._parts[name]
    change = number - self._last[name] - self._low[name]
    return jax.nn.one_hot(change, part.stop - part.start) * self._known


def _sum(one: jax.Array, other: jax.Array) -> jax.Array:
  """The sum of arrays whose leading axes one of them may lack."""
  shape = jnp.broadcast_shapes(one.shape, other.shape)
  return jnp.broadcast_to(one, shape) + jnp.broadcast_to(other, shape)


def _told_changes(cfg, tokens_tm1, seen) -> jax.Array:
  """Changes `[C]` of the tokens that the map may depend on; else zeros."""
  sizes, counts = cfg.token_sizes, relative_tokens.counts(cfg)
  tells = [
    _tells_map(sizes)[part.start] for part in tokens.slices(sizes).values()
  ]
  return relative_tokens.hot(cfg, tokens_tm1, seen) * np.repeat(tells, counts)


def _tells_map(sizes) -> np.ndarray:
  """1 for the values `[R]` of tokens that the map may depend on."""
  counts, parts = (
    np.zeros(sum(sizes.values()), np.float32),
    tokens.slices(sizes),
  )
  for name, part in parts.items():
    if name not in _PLACE and part.start < parts["map"].start:
      counts[part] = 1.0
  return counts


def _candidates(sizes, before, guess, tokens_tm1) -> atlas_lib.Place:
  """Places `[K]`, some of them equal."""
  parts = tokens.slices(sizes)
  last = atlas_lib.place(sizes, tokens_tm1)
  last = dataclasses.replace(last, map=jnp.maximum(last.map, 0))
  near = (
    jnp.full(len(_NEAR), last.map),
    *(
      number + jnp.asarray(_NEAR[:, axis])
      for axis, number in enumerate((last.y, last.x))
    ),
  )
  top = {n: jax.lax.top_k(guess[parts[n]], _GUESSES)[1] for n in ("y", "x")}
  maps = jnp.stack([last.map, jnp.argmax(guess[parts["map"]])])
  guessed = jnp.meshgrid(maps, top["y"], top["x"], indexing="ij")
  # What the prior expects on maps that frame and prior find likely.
  likely = before.logits("map", {}) + jax.nn.log_softmax(guess[parts["map"]])
  warp = {"map": jax.lax.top_k(likely, _WARPS)[1]}
  for name in ("y", "x"):
    logits = before.logits(name, warp)
    warp[name] = jnp.broadcast_to(jnp.argmax(logits, axis=-1), (_WARPS,))
  parts_of = zip(near, guessed, warp.values(), strict=True)
  joined = {
    name: jnp.clip(
      jnp.concatenate([jnp.ravel(part) for part in three]), 0, sizes[name] - 1
    ).astype(jnp.int32)
    for name, three in zip(_PLACE, parts_of, strict=True)
  }
  return atlas_lib.Place(**joined)


def _misses(atlas, vocab, sizes, seen, where, ids) -> jax.Array:
  """Tiles `[K]` of a frame `[360]` that the atlas does not hold there."""
  cells = atlas_lib.window(atlas, where)[:, 1:-1, 1:-1]
  held = atlas.looks[atlas.tiles[cells], atlas_clocks.phase(sizes, seen)]
  held = held.reshape(len(cells), -1)
  miss = jnp.where(held == vocab, _UNKNOWN, held != ids[None])
  return jnp.minimum(miss @ _background(), _MOST_MISSES)


def _background() -> np.ndarray:
  """1 for each tile `[360]` but those of the player, who hides the ground."""
  shape = atlas_lib.ROWS, atlas_lib.COLUMNS, packing.TILES_PER_BLOCK
  counts = np.ones(shape, np.float32)
  row, column = atlas_lib.PLAYER
  counts[row - 1 : row + 1, column] = 0.0
  return counts.reshape(-1)


def _is_new(where: atlas_lib.Place) -> jax.Array:
  """Whether each candidate `[K]` is not the same as one before it."""
  place = jnp.stack([where.map, where.y, where.x], axis=-1)
  same = jnp.all(place[:, None] == place[None], axis=-1)
  return ~jnp.any(jnp.tril(same, -1), axis=-1)
