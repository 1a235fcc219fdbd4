"""The world model: parameters, observing and decoding.

Shape letters: `B` streams, `T` rows, `D` deter, `S` categorical variables of
`K` classes, `R` concatenated one-hot tokens, `E` embedding, `F` features,
`V` dictionary tiles. Sequence functions see one stream `[T, ...]`; `observe`
is where they are mapped over `[B, T, ...]`.
"""

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.frames import tiles
from pokedreamer_jax.networks import codecs
from pokedreamer_jax.networks import late_gradients
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import alignment
from pokedreamer_jax.world_model import atlas as atlas_lib
from pokedreamer_jax.world_model import atlas_sight
from pokedreamer_jax.world_model import atlas_texts
from pokedreamer_jax.world_model import hp_bars
from pokedreamer_jax.world_model import model_v2 as world_model_v2
from pokedreamer_jax.world_model import parts
from pokedreamer_jax.world_model import place_belief
from pokedreamer_jax.world_model import ram_heads
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens as tokens_lib

Params = parts.Params
Batch = Mapping[str, jax.Array]
# `(key, log-probabilities [S, K]) -> one-hots [S, K]`.
DrawFn = Callable[[jax.Array, jax.Array], jax.Array]


@flax.struct.dataclass
class State:
  """Latent state; leaves share leading axes."""

  deter: jax.Array  # [..., D] float32
  stoch: jax.Array  # [..., S * K] float32, S one-hots
  tokens: jax.Array  # [..., R] float32, concatenated one-hots; R may be 0


@flax.struct.dataclass
class Posterior:
  """What observing `[B, T]` rows gives."""

  state: State  # leaves [B, T, ...]
  prior: jax.Array  # log-probabilities [B, T, S, K] before the frame
  post: jax.Array  # log-probabilities [B, T, S, K] after it
  token_logits: jax.Array  # [B, T, R], predicted before the frame
  infer_logits: jax.Array  # [B, T, R], guessed from the frame


def init(
  cfg: world_model_config.WorldModelConfig,
  key: jax.Array,
  table: tiles.TileTable | None,
  atlas: atlas_lib.Atlas | None = None,
) -> Params:
  """Fresh parameters; dictionary and running averages are part of them.

  Args:
    cfg: sizes.
    key: typed PRNG key; consumed.
    table: dictionary of `cfg.tile_vocab` tiles; unused, and None will do,
      where both codecs are `pixels` and in family v2.
    atlas: the map memory, where `cfg.has_atlas`; None knows no place.

  Raises:
    ValueError: a token or a RAM head without a reader, or a table or an atlas
      of another size.
  """
  tokens_lib.check(cfg.token_sizes, cfg.unseen_tokens.split())
  ram_heads.check(cfg.ram_head_sizes)
  if not cfg.has_dictionary:
    table = None
  elif table is None or table.vocab != cfg.tile_vocab:
    vocab = None if table is None else table.vocab
    raise ValueError(f"tile_vocab: table {vocab}, {cfg.tile_vocab=}")
  if not cfg.has_atlas:
    atlas = None
  else:
    blank = atlas_lib.empty(cfg)
    atlas = blank if atlas is None else atlas
    if jax.tree.map(jnp.shape, atlas) != jax.tree.map(jnp.shape, blank):
      raise ValueError(
        f"atlas: {jnp.shape(atlas.tiles)[0]} cells, {cfg.atlas_cells=}"
      )
  return _init(cfg, key, table, atlas)


# As one program: one by one, the initialisers compile 200 small ones.
@functools.partial(jax.jit, static_argnums=0)
def _init(
  cfg: world_model_config.WorldModelConfig,
  key: jax.Array,
  table: tiles.TileTable | None,
  atlas: atlas_lib.Atlas | None,
) -> Params:
  feat = jnp.zeros((1, cfg.feat_dim))
  state = initial_state(cfg, (1,))
  action = jnp.zeros((1, specs.NUM_ACTIONS))
  window = atlas_sight.shown(cfg, table, atlas, state.tokens)
  around = atlas_sight.around(cfg, atlas, state.tokens, action)
  if cfg.family == "v2":
    frame = jnp.zeros((1, specs.FRAME_HEIGHT, specs.FRAME_WIDTH, 3))
  else:
    frame = codecs.encoder_input(cfg, table, _blank_frames((1,)))
  examples = {
    "encoder": (frame,),
    "rssm": (
      state.deter,
      state.stoch,
      state.tokens,
      action,
      jnp.zeros((1, cfg.hidden)),
      *around,
    ),
    "decoder": (_with_bars(cfg, feat, state.tokens), *window),
    "chain": (token_prior.chain_inputs(cfg, state.tokens, state.tokens),),
  }
  params: Params = {}
  averages: Params = {}
  for name, module in parts.modules(cfg).items():
    key, init_key = jax.random.split(key)
    variables = module.init(init_key, *examples.get(name, (feat,)))
    params[name] = variables["params"]
    if world_model_v2.BATCH_STATS in variables:
      averages[name] = variables[world_model_v2.BATCH_STATS]
  if averages:
    params[world_model_v2.BATCH_STATS] = averages
  if table is not None:
    params["tiles"] = {"words": table.words, "hashes": table.hashes}
  if atlas is not None:
    params["atlas"] = atlas_lib.leaves(atlas)
  return params


def shapes(cfg: world_model_config.WorldModelConfig) -> Params:
  """Shapes and dtypes of all that `init` makes, without making it."""
  table = tiles.shapes(cfg.tile_vocab) if cfg.has_dictionary else None
  return jax.eval_shape(functools.partial(init, cfg), jax.random.key(0), table)


def tile_table(params: Params) -> tiles.TileTable | None:
  """The dictionary that the parameters carry, if they need one."""
  return tiles.TileTable(**params["tiles"]) if "tiles" in params else None


def _needed_table(params: Params) -> tiles.TileTable:
  return tiles.TileTable(**params["tiles"])


def map_memory(params: Params) -> atlas_lib.Atlas | None:
  """The atlas that the parameters carry, if they need one."""
  return atlas_lib.Atlas(**params["atlas"]) if "atlas" in params else None


def embed_frames(
  cfg: world_model_config.WorldModelConfig, params: Params, frame: jax.Array
) -> jax.Array:
  """Embeddings `[..., E]` of packed frames `[..., 144, 40]`."""
  if cfg.family == "v2":
    return world_model_v2.embed(cfg, params, frame)
  seen = codecs.encoder_input(cfg, tile_table(params), frame)
  return parts.apply(cfg, params, "encoder", seen)


def initial_state(
  cfg: world_model_config.WorldModelConfig, lead: tuple[int, ...]
) -> State:
  """The state before the first frame, with leading axes `lead`.

  Zeros; in family v2 the categorical variables are uniform.
  """
  deter = jnp.zeros((*lead, cfg.deter))
  stoch = jnp.zeros((*lead, cfg.stoch_dim))
  if cfg.family == "v2":
    deter, stoch = world_model_v2.cell(cfg).get_initial_state(lead)
  return State(
    deter=deter, stoch=stoch, tokens=jnp.zeros((*lead, cfg.token_dim))
  )


def restart(
  cfg: world_model_config.WorldModelConfig, state: State, is_first: jax.Array
) -> State:
  """`state`, but the initial one in the rows `[...]` that are first."""
  return jax.tree.map(
    lambda leaf, first: jnp.where(is_first[..., None], first, leaf),
    state,
    initial_state(cfg, is_first.shape),
  )


def features(state: State) -> jax.Array:
  """Features `[..., F]` that decoder, heads and policies read."""
  return jnp.concatenate([state.deter, state.stoch, state.tokens], axis=-1)


def observe(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  key: jax.Array,
  batch: Batch,
  start: State | None = None,
  infer: bool = False,
  draw: DrawFn = sampling.straight_through,
  embed: jax.Array | None = None,
  hide: float = 0.0,
  tokens_tm1: jax.Array | None = None,
) -> Posterior:
  """Posterior states of recorded rows.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    batch: fields `[B, T, ...]` as in `specs`, and `first_action_tm1` `[B]`.
    start: state before the first row, leaves `[B, ...]`; initial if None.
    infer: guess the tokens from the frames instead of reading the RAM; under
      `ram=place` the place by a belief.
    draw: how latents are drawn from the posterior; carries the gradient.
    embed: embeddings `[B, T, E]` of the frames, where they are known.
    hide: share of the atlas' cells that steps do not see; for training, where
      tokens are given.
    tokens_tm1: what steps read as the tokens of the row before, `[B, T, R]`,
      zeros where a row is first; those themselves if None. For training, too.

  Returns:
    `Posterior` with leaves `[B, T, ...]`.
  """
  lead = batch["is_first"].shape
  chex.assert_rank(batch["is_first"], 2)
  if start is None:
    start = initial_state(cfg, lead[:1])
  if embed is None:
    embed = embed_frames(cfg, params, batch["frame"])
  if infer or not cfg.token_sizes:  # the batch may hold no RAM fields
    hot = jnp.zeros((*lead, cfg.token_dim))
  else:
    hot = read_tokens(cfg, params, batch)
  rows = {
    "embed": embed,
    "tokens": hot,
    "action_tm1": alignment.previous_actions(batch, cfg.action_alignment),
    "is_first": batch["is_first"],
  }
  if not infer:
    if tokens_tm1 is None:
      tokens_tm1 = last_tokens(start.tokens, hot, batch["is_first"])
    rows["tokens_tm1"] = tokens_tm1
  elif cfg.ram == "place" and cfg.has_atlas:
    rows["ids"] = tiles.encode(_needed_table(params), batch["frame"])
  keys = jax.random.split(key, lead[0])
  if infer:
    stream = functools.partial(_observe_guessing, cfg, params, draw)
    state, post, infer_logits = jax.vmap(stream)(keys, start, rows)
  else:
    state, post, infer_logits = _observe_given(
      cfg, params, draw, hide, keys, start, rows
    )
  prior = parts.apply(
    cfg, params, "rssm", state.deter, state.tokens, method="prior"
  )
  if tokens_tm1 is None:
    tokens_tm1 = last_tokens(start.tokens, state.tokens, batch["is_first"])
  logits = token_prior.told_logits(
    cfg, params, state.deter, tokens_tm1, state.tokens
  )
  return Posterior(
    state=state,
    prior=prior,
    post=post,
    token_logits=logits,
    infer_logits=infer_logits,
  )


def read_tokens(
  cfg: world_model_config.WorldModelConfig, params: Params, ram: Batch
) -> jax.Array:
  """One-hot tokens `[..., R]` of RAM fields `[...]`."""
  if "letters" in cfg.token_sizes:
    ram = atlas_texts.told(map_memory(params), ram)
  numbers = tokens_lib.read(cfg.token_sizes, ram)
  return tokens_lib.one_hot(cfg.token_sizes, numbers)


def last_tokens(
  start: jax.Array, hot: jax.Array, is_first: jax.Array
) -> jax.Array:
  """Tokens `[B, T, R]` of the row before each; zeros where a row is first.

  Args:
    start: of the row before the first one, `[B, R]`.
    hot: of the rows, `[B, T, R]`.
    is_first: `[B, T]` bool.
  """
  last = jnp.concatenate([start[:, None], hot[:, :-1]], axis=1)
  return jnp.where(is_first[..., None], 0.0, last)


def project_known(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  tokens_tm1: jax.Array,
  action_tm1: jax.Array,
  hide: atlas_sight.HideFn = atlas_sight.all_seen,
) -> jax.Array:
  """Input share `[..., hidden]` of what is known before a step.

  Args:
    cfg: sizes.
    params: parameters; with an atlas, its cells around the last place count,
      unless `cfg.atlas_around` is off.
    tokens_tm1: of the last state, one-hot `[..., R]`; zeros where it is first.
    action_tm1: one-hot `[..., A]`.
    hide: makes some cells unknown.
  """
  inputs = (tokens_tm1, action_tm1)
  around = atlas_sight.around(cfg, map_memory(params), *inputs, hide)
  return parts.apply(
    cfg, params, "rssm", *inputs, *around, method="project_known"
  )


def decoder_outputs(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  feat: jax.Array,
  hide: atlas_sight.HideFn = atlas_sight.all_seen,
  method: str | None = None,
) -> Any:
  """What the decoder says of features `[..., F]`; `codecs.score` judges it.

  Args:
    cfg: sizes.
    params: parameters.
    feat: features.
    hide: makes some cells of the atlas unknown.
    method: another method of the decoder than the call itself.
  """
  hot = feat[..., cfg.feat_dim - cfg.token_dim :]
  window = atlas_sight.shown(
    cfg, tile_table(params), map_memory(params), hot, hide
  )
  feat = _with_bars(cfg, feat, hot)
  return parts.apply(cfg, params, "decoder", feat, *window, method=method)


def divergence(log_p: jax.Array, log_q: jax.Array) -> jax.Array:
  """KL(p || q) `[...]` in nats, over all variables of `[..., S, K]`."""
  return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=(-2, -1))


def act_step(
  cfg: world_model_config.WorldModelConfig,
  params: Params,
  key: jax.Array,
  state: State,
  frame: jax.Array,
  ram: Batch,
  action_tm1: jax.Array,
  is_first: jax.Array,
  infer: bool = False,
) -> State:
  """One posterior step for acting.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    state: state before this frame, leaves `[B, ...]`.
    frame: `[B, 144, 40]` uint8.
    ram: RAM fields `[B, ...]`; read only where tokens are given.
    action_tm1: `[B]` integer, the last action; under the published alignment
      the one chosen for this frame, before it is seen.
    is_first: `[B]` bool.
    infer: guess the tokens from the frame.

  Returns:
    `State` with leaves `[B, ...]`.
  """
  batch = {name: jnp.asarray(value)[:, None] for name, value in ram.items()}
  batch |= {
    "frame": frame[:, None],
    "action": action_tm1[:, None],
    "first_action_tm1": action_tm1,
    "is_first": is_first[:, None],
  }
  seen = observe(cfg, params, key, batch, state, infer)
  return jax.tree.map(lambda leaf: leaf[:, 0], seen.state)


def decode(
  cfg: world_model_config.WorldModelConfig, params: Params, state: State
) -> jax.Array:
  """The most likely packed frames `[..., 144, 40]` uint8 of states."""
  if cfg.family == "v2":
    return world_model_v2.decode(cfg, params, features(state))
  outputs = decoder_outputs(cfg, params, features(state))
  return codecs.most_likely_frames(cfg, tile_table(params), outputs)


def read_ram(
  cfg: world_model_config.WorldModelConfig, params: Params, state: State
) -> dict[str, ram_heads.Reading]:
  """What the RAM heads read off states `[...]`; empty without heads."""
  if not cfg.ram_head_sizes:
    return {}
  outputs = parts.apply(cfg, params, "ram", features(state))
  return ram_heads.read(cfg.ram_head_sizes, outputs)


def _with_bars(cfg, feat, hot) -> jax.Array:
  """Features `[..., F]` as the decoder reads them."""
  if not cfg.has_bars:
    return feat
  bars = hp_bars.one_hot(cfg.token_sizes, hot)
  return jnp.concatenate([feat, bars], axis=-1)


def _blank_frames(lead: tuple[int, ...]) -> jax.Array:
  size = (specs.FRAME_HEIGHT, specs.PACKED_WIDTH)
  return jnp.zeros((*lead, *size), jnp.uint8)


def _observe_given(cfg, params, draw, hide, keys, start, rows):
  """Streams `[B, T, ...]` with given tokens: states, posteriors and guesses.

  Everything but the recurrence is batched over time.
  """
  length = rows["is_first"].shape[1]

  hide_cells: atlas_sight.HideFn = atlas_sight.all_seen
  if cfg.has_atlas and hide:
    keys, hide_keys = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
    some = functools.partial(atlas_lib.hidden, share=hide)
    hide_cells = lambda cells: jax.vmap(some)(hide_keys, cells=cells)
  known = project_known(
    cfg, params, rows["tokens_tm1"], rows["action_tm1"], hide_cells
  )
  row_keys = jax.vmap(lambda key: jax.random.split(key, length))(keys)
  cell = functools.partial(parts.apply, cfg, params, "rssm")
  seen = cell(rows["embed"], rows["tokens"], method="project_seen")

  chance, choose = row_keys, draw
  if isinstance(draw, sampling.Draw):
    shape = (cfg.stoch, cfg.classes)
    of_row = jax.vmap(lambda key: draw.chance(key, shape))
    chance, choose = jax.vmap(of_row)(row_keys), draw.choose

  def step(weights, carry, row):
    known_t, seen_t, tokens, is_first, chance_t = row
    carry = restart(cfg, carry, is_first)
    cell = functools.partial(parts.apply, cfg, {"rssm": weights}, "rssm")
    deter = cell(carry.deter, carry.stoch, known_t, method="step")
    post = cell(deter, seen_t, method="posterior")
    stoch = choose(chance_t, post)
    state = State(deter=deter, stoch=stoch.reshape(-1), tokens=tokens)
    return state, (state, post)

  scanned = (known, seen, rows["tokens"], rows["is_first"], chance)
  state, post = late_gradients.scan_streams(
    step, params["rssm"], start, scanned
  )
  guess = jnp.zeros_like(rows["tokens"])
  if cfg.token_sizes:
    guess = cell(state.deter, rows["embed"], method="infer_tokens")
  return state, post, guess


def _observe_guessing(cfg, params, draw, key, start, rows):
  """One stream `[T, ...]` whose tokens are guessed: the same."""
  cell = functools.partial(parts.apply, cfg, params, "rssm")
  sizes = cfg.token_sizes
  # A place has tokens, so there is a chain.
  chain = (
    token_prior.chain_matrix(cfg, params)
    if cfg.ram == "place"
    else jnp.zeros(0)
  )

  def step(carry, row):
    now, row_key = row
    carry = restart(cfg, carry, now["is_first"])
    known = project_known(cfg, params, carry.tokens, now["action_tm1"])
    deter = cell(carry.deter, carry.stoch, known, method="step")
    hot = now["tokens"]
    guess = jnp.zeros_like(hot)
    if sizes:
      guess = cell(deter, now["embed"], method="infer_tokens")
      hot = tokens_lib.one_hot(sizes, tokens_lib.numbers(sizes, guess))
    if cfg.ram == "place":
      if cfg.chain_changes:
        logits, scores = token_prior.outputs(cfg, params, deter)
      else:
        logits, scores = (
          token_prior.logits(cfg, params, deter, carry.tokens),
          None,
        )
      belief = place_belief.believe(
        *(cfg, map_memory(params), logits, chain, guess),
        *(carry.tokens, now.get("ids"), scores),
      )
      hot = place_belief.with_place(sizes, hot, belief.best)
    seen = cell(now["embed"], hot, method="project_seen")
    post = cell(deter, seen, method="posterior")
    stoch = draw(row_key, post)
    state = State(deter=deter, stoch=stoch.reshape(-1), tokens=hot)
    return state, (state, post, guess)

  keys = jax.random.split(key, len(rows["is_first"]))
  return jax.lax.scan(step, start, (rows, keys))[1]
