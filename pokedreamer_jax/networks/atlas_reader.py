"""What the networks make of the atlas: cells read, screens shown, walls felt.

Here are the learned parts; `world_model/atlas.py` says which cells are read.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from pokedreamer_jax.frames import packing
from pokedreamer_jax.networks import blocks
from pokedreamer_jax.networks import tile_mixture

ROWS, COLUMNS = 9, 10  # blocks of a screen
# Where a block's cell and its neighbours stand in the window of 11x12 cells.
_SHIFTS = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
# Learned vectors are multiplied by this where they are read: under Adam a
# learning rate so much higher, since each is read seldom.
_LIVELY = 10.0


class CellEmbedding(nn.Module):
  """Embeds cells by their four tiles and by a learned vector of each.

  Attributes:
    vocab: tiles in the dictionary; number `vocab` is the escape.
    cells: cells of the atlas, `C`.
    cell_units: learned vector of a cell.
    outputs: embedding of a cell, `U`.
  """

  vocab: int
  cells: int
  cell_units: int
  outputs: int

  @nn.compact
  def __call__(self, cells: jax.Array, tiles: jax.Array) -> jax.Array:
    """Cells `[..., N]` with tiles `[..., N, 4]` to `[..., N, U]`."""
    rows = packing.TILES_PER_BLOCK * (self.vocab + 1)
    table = self.param(
      "table", nn.initializers.normal(0.5), (rows, self.outputs)
    )
    vectors = self.param(
      "cells", nn.initializers.normal(0.05), (self.cells, self.cell_units)
    )
    corner = jnp.arange(packing.TILES_PER_BLOCK) * (self.vocab + 1)
    shown = jnp.sum(table[tiles + jnp.broadcast_to(corner, tiles.shape)], -2)
    # As rows: the gradient of a product of higher rank is slow on a CPU.
    learned = _LIVELY * vectors[cells.reshape(-1)]
    learned = nn.Dense(self.outputs, use_bias=False)(learned)
    return shown + learned.reshape(shown.shape)


class Surroundings(nn.Module):
  """What the cells around say about the next step.

  Attributes:
    vocab: tiles in the dictionary.
    cells: cells of the atlas.
    cell_units: learned vector of a cell.
    tile_units: embedding of a cell.
    outputs: units of the hidden layer and of what comes out.
  """

  vocab: int
  cells: int
  cell_units: int
  tile_units: int
  outputs: int

  @nn.compact
  def __call__(
    self, known: jax.Array, cells: jax.Array, tiles: jax.Array
  ) -> jax.Array:
    """`[..., outputs]` of what else is known `[..., I]` and cells `[..., 7]`.

    Args:
      known: tokens and action.
      cells: numbers of the cells.
      tiles: `[..., 7, 4]`, what the atlas holds there.
    """
    seen = CellEmbedding(
      self.vocab, self.cells, self.cell_units, self.tile_units
    )(cells, tiles)
    seen = seen.reshape(*cells.shape[:-1], cells.shape[-1] * self.tile_units)
    x = jnp.concatenate([known, nn.silu(seen)], axis=-1)
    layer = blocks.half_known_dense(self.outputs, known.shape[-1], first=True)
    x = nn.silu(nn.RMSNorm()(layer(x)))
    return nn.Dense(self.outputs, use_bias=False)(x)


class AtlasDecoder(nn.Module):
  """Features and cells in sight to a distribution of every tile.

  A block's features are the state's own and, through gates of the state, those
  of its cell and of the four beside it: gates shared by all blocks follow the
  screen between two cells, one of each block shuts where no map is seen. Then
  a tile is copied, from the screen that the atlas shows, from one of the four
  cells beside or from the message box of the text, or drawn from the dictionary
  (`tile_mixture.py`); which of the six is said for the whole screen.

  What the state adds does not read the place: that is the atlas' part. The
  other tokens reach every block directly, since text and numbers stand at
  places of the screen; but for texts whose box the atlas holds, for what the
  HP bars are told of, and for those that no picture shows.

  Attributes:
    vocab: tiles in the dictionary; the escape is one class more.
    tile_units: features of a tile before its logits.
    block_units: features of a block.
    cells: cells of the atlas.
    cell_units: learned vector of a cell.
    hidden: units of the layer between state and blocks.
    token_dim: length of the tokens that features end with.
    shown: tokens beside the place's, `(start, stop, phases, direct)` each, in
      order: of a clock the decoder reads at which of its phases it is, 0 for
      all others; and whether it reaches every block directly.
    copies: whether tiles may be copied; else all are drawn.
    mix: whether a block also reads the features of the eight around, with
      weights that all blocks share.
    texts: whether what the atlas holds of the message box may be copied.
  """

  vocab: int
  tile_units: int
  block_units: int
  cells: int
  cell_units: int
  hidden: int
  token_dim: int
  shown: tuple[tuple[int, int, int, bool], ...]
  copies: bool = True
  mix: bool = False
  texts: bool = False

  def setup(self):
    outputs = packing.NUM_BLOCKS * self.block_units
    small = blocks.scaled_init(0.1)
    self.embedding = CellEmbedding(
      self.vocab, self.cells, self.cell_units, self.block_units
    )
    others = sum(phases or high - low for low, high, phases, _ in self.shown)
    self.state_in = blocks.half_known_dense(self.hidden, others)
    self.state_norm = nn.RMSNorm()
    self.state_out = nn.Dense(outputs, use_bias=False)
    self.token_out = nn.Dense(
      outputs, use_bias=False, kernel_init=nn.initializers.normal(0.05)
    )
    self.shift = nn.Dense(len(_SHIFTS), kernel_init=small)
    self.block = nn.Dense(packing.NUM_BLOCKS, kernel_init=small)
    self.block_norm = nn.RMSNorm()
    if self.mix:
      self.mix_in = nn.Dense(self.block_units)
    self.tile_in = nn.Dense(packing.TILES_PER_BLOCK * self.tile_units)
    self.tile_logits = nn.Dense(self.vocab + 1, kernel_init=small)
    if self.copies:
      self.copy_gate = nn.Dense(1, kernel_init=small)
      self.copy_shift = nn.Dense(
        len(_SHIFTS) + self.texts, kernel_init=small, bias_init=_first_likely
      )

  def __call__(
    self,
    feat: jax.Array,
    cells: jax.Array,
    tiles: jax.Array,
    screen: jax.Array,
    box: jax.Array | None = None,
  ) -> tile_mixture.Mixture:
    """Features `[..., F]` to the mixture of tiles `[..., 360]`, block order.

    Args:
      feat: features of states.
      cells: the window, `[..., 11, 12]`.
      tiles: what the atlas holds there, `[..., 11, 12, 4]`.
      screen: the screen that it shows, `[..., 360]`.
      box: the same with the message box of the text alone, where `texts`.
    """
    x, found = self.read(feat, cells, tiles, screen, box)
    return tile_mixture.Mixture(copies=found, logits=self.draw(x))

  def read(
    self,
    feat: jax.Array,
    cells: jax.Array,
    tiles: jax.Array,
    screen: jax.Array,
    box: jax.Array | None = None,
  ) -> tuple[jax.Array, tile_mixture.Copies]:
    """Features `[..., 360, tile_units]` of tiles, and what may be copied."""
    lead = feat.shape[:-1]
    feat = feat.reshape(-1, feat.shape[-1])
    cells = cells.reshape(-1, *cells.shape[len(lead) :])
    tiles = tiles.reshape(*cells.shape, packing.TILES_PER_BLOCK)
    feat, direct = self._without_place(feat)
    x = nn.silu(self.state_norm(self.state_in(feat)))
    x = self.state_out(x) + self.token_out(direct)
    x = x.reshape(-1, ROWS, COLUMNS, self.block_units)
    x = nn.silu(self.block_norm(x + self._seen(feat, cells, tiles)))
    around = self._around(x) if self.mix else None
    # As rows: the gradient of a product of higher rank is slow on a CPU.
    x = x.reshape(-1, self.block_units)
    if around is not None:
      x += nn.silu(self.mix_in(around))
    x = nn.silu(self.tile_in(x)).reshape(-1, self.tile_units)
    if self.copies:
      found = self._offered(lead, feat, x, tiles, screen, box)
    else:
      found = tile_mixture.no_copies((*lead, packing.NUM_TILES), self.vocab)
    return x.reshape(*lead, packing.NUM_TILES, self.tile_units), found

  def draw(self, x: jax.Array) -> jax.Array:
    """Logits `[..., V + 1]` of features `[..., tile_units]` from `read`."""
    logits = self.tile_logits(x.reshape(-1, self.tile_units))
    return logits.reshape(*x.shape[:-1], self.vocab + 1)

  def _around(self, x):
    """Of blocks `[N, 9, 10, U]` the 3x3 around, as rows `[N * 90, 9 * U]`.

    Zeros beyond the screen's edge.
    """
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [(row, column) for row in range(3) for column in range(3)]
    near = [_shifted(padded, at) for at in shifts]
    return jnp.concatenate(near, axis=-1).reshape(-1, 9 * self.block_units)

  def _offered(self, lead, feat, x, tiles, screen, box):
    """What may be copied of the tiles `[*lead, 360]`."""
    gate = self.copy_gate(x).reshape(*lead, packing.NUM_TILES)
    shift = self.copy_shift(feat).reshape(*lead, 1, -1)
    offered = [
      screen.reshape(-1, packing.NUM_TILES),
      *(_shifted(tiles, at).reshape(len(feat), -1) for at in _SHIFTS[1:]),
    ]
    if self.texts:
      offered.append(box.reshape(-1, packing.NUM_TILES))
    candidate = jnp.stack(offered, axis=-1)
    candidate = candidate.reshape(*lead, packing.NUM_TILES, len(offered))
    return tile_mixture.copies(candidate, shift, gate, self.vocab)

  def _without_place(self, feat):
    """Features `[N, .]` without the place, and tokens that reach all blocks."""
    start = feat.shape[-1] - self.token_dim
    tokens = [feat[:, :0]]  # there may be none but the place's
    direct = tokens[:]
    for low, high, phases, reaches in self.shown:
      token = feat[:, start + low : start + high]
      if phases:
        token = token.reshape(len(feat), phases, -1).sum(-1)
      tokens.append(token)
      direct += [token] * reaches
    # Tokens are data, and so the product for their gradient is left out.
    others, reaching = (
      jax.lax.stop_gradient(jnp.concatenate(parts, axis=-1))
      for parts in (tokens, direct)
    )
    return jnp.concatenate([feat[:, :start], others], axis=-1), reaching

  def _seen(self, feat, cells, tiles):
    """What the atlas adds to the features of blocks, `[N, 9, 10, U]`."""
    embedded = self.embedding(
      cells.reshape(len(feat), -1),
      tiles.reshape(len(feat), -1, packing.TILES_PER_BLOCK),
    ).reshape(*cells.shape, self.block_units)
    shift = self.shift(feat)
    total = jnp.zeros(())
    for i, at in enumerate(_SHIFTS):
      gate = shift[..., i, None, None, None] + (1.0 if i == 0 else 0.0)
      total += gate * _shifted(embedded, at)
    shut = jax.nn.sigmoid(1.0 + self.block(feat)).reshape(-1, ROWS, COLUMNS)
    return shut[..., None] * total


def _first_likely(key: jax.Array, shape: Sequence[int], dtype: Any = float):
  """A bias under which a block's own cell is likely, and a text more so."""
  del key
  likely = [2.0, *[0.0] * (len(_SHIFTS) - 1), 4.0]
  return jnp.array(likely[: shape[0]], dtype)


def _shifted(window: jax.Array, at: tuple[int, int]) -> jax.Array:
  """The 9x10 blocks of a window `[N, 11, 12, ...]` that begin at a cell."""
  row, column = at
  return window[:, row : row + ROWS, column : column + COLUMNS]
