"""The imagined step with drawn states as numbers, not as one-hot vectors.

What a state adds to the first layers that read it (its *share*) is a sum of
table rows once the state was drawn: the step that draws it knows the numbers.
Only the share of a dream's first state is a product, so that any state will do
there, one without any token too. The results are those of the dense step,
`imagination.prior_step`, but for the order of sums.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import atlas_reader
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.networks import table_sums
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens as tokens_lib


@flax.struct.dataclass
class Share:
  """What states `[N]` add to layers that read one-hots of them."""

  inputs: jax.Array  # [N, I], of the recurrent step
  around: jax.Array | None  # [N, hidden], of its reader of cells


@flax.struct.dataclass
class Numbers:
  """Drawn states: which class and which value, `[..., S]` and `[..., M]`."""

  stoch: jax.Array
  tokens: jax.Array


def serves(cfg: world_model_config.WorldModelConfig) -> bool:
  """Whether this form is there: sums of rows are of full precision."""
  return cfg.compute_dtype == "float32"


def share(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  state: world_model.State,
) -> Share:
  """The share of any states, leaves `[N, ...]`, as products."""
  stoch, token, around = _tables(cfg, params)
  inputs = state.stoch @ stoch
  if token is not None:
    inputs += state.tokens @ token
  return Share(
    inputs, None if around is None else state.tokens @ around[: cfg.token_dim]
  )


def drawn_share(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  numbers: Numbers,
) -> Share:
  """The share of drawn states, leaves `[N, ...]`, as sums of rows."""
  stoch, token, around = _tables(cfg, params)
  rows = _rows(cfg, numbers)
  inputs = table_sums.sum_rows(stoch, rows.stoch)
  if token is not None:
    inputs += table_sums.sum_rows(token, rows.tokens)
  return Share(
    inputs, None if around is None else table_sums.sum_rows(around, rows.tokens)
  )


def step(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  state: world_model.State,
  given: Share,
  action: jax.Array,
  most_likely: bool | jax.Array = False,
) -> tuple[world_model.State, Numbers]:
  """One imagined step of `N` states; arguments as of `prior_step`.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    state: leaves `[N, ...]`.
    given: their share.
    action: `[N]` integer.
    most_likely: as in `imagination.prior_step`.

  Returns:
    The next states, and the numbers that were drawn for them.
  """
  token_key, stoch_key = jax.random.split(key)
  inputs = given.inputs + _action_rows(cfg, params)[action]
  if given.around is not None:
    inputs += _around(cfg, params, state.tokens, given.around, action)
  deter = world_model.apply(
    cfg, params, "rssm", state.deter, inputs, method="advance"
  )
  hot = draw_tokens(cfg, params, token_key, deter, state.tokens, most_likely)
  token = tokens_lib.numbers(cfg.token_sizes, hot)
  prior = _prior(cfg, params, deter, token)
  prior = sampling.without_uniform(prior, cfg.unimix)
  number = sampling.draw(stoch_key, prior, most_likely)
  stoch = jax.nn.one_hot(number, cfg.classes)
  stoch = stoch.reshape(*deter.shape[:-1], cfg.stoch_dim)
  following = world_model.State(deter=deter, stoch=stoch, tokens=hot)
  return following, Numbers(number, token)


def draw_tokens(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  deter: jax.Array,
  tokens_tm1: jax.Array,
  most_likely: bool | jax.Array,
) -> jax.Array:
  """One-hot tokens `[N, R]` of a step, drawn one after the other.

  Args:
    cfg: sizes.
    params: parameters.
    key: typed PRNG key; consumed.
    deter: of the step, `[N, D]`.
    tokens_tm1: of the last state, one-hot `[N, R]`.
    most_likely: as in `imagination.prior_step`.
  """
  if not cfg.token_sizes:
    return jnp.zeros((*deter.shape[:-1], 0))
  logits = world_model.token_logits(cfg, params, deter, tokens_tm1)
  chain = params["chain"]["kernel"]
  return sampling.token_draw(key, cfg.token_sizes, logits, chain, most_likely)


def judge(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  deter: jax.Array,
  numbers: Numbers,
) -> tuple[jax.Array, jax.Array]:
  """Outputs of the reward head `[..., O]` and continue logits `[...]`.

  Args:
    cfg: sizes, of family v3.
    params: parameters.
    deter: of drawn states, `[..., D]`.
    numbers: theirs, leaves `[..., ...]`.
  """
  layers = [params[name]["MLP_0"] for name in ("reward", "continue")]
  first = [layer["Dense_0"]["kernel"] for layer in layers]
  table = jnp.concatenate(first, axis=1)
  rows = _rows(cfg, numbers)
  index = jnp.concatenate([rows.stoch, cfg.stoch_dim + rows.tokens], axis=-1)
  hidden = deter @ table[: cfg.deter]
  hidden += table_sums.sum_rows(table[cfg.deter :], index)
  outputs = [
    _rest(layer, part)
    for layer, part in zip(layers, jnp.split(hidden, 2, axis=-1), strict=True)
  ]
  return outputs[0], outputs[1][..., 0]


def _tables(cfg, params) -> tuple[jax.Array, jax.Array | None, Any]:
  """Tables of latents `[S K, I]`, tokens `[R, I]` and the reader of cells."""
  cell = params["rssm"]
  if cfg.family == "v2":
    return cell["gru_ih"][: cfg.stoch_dim], None, None
  around = None
  if cfg.reads_around:
    around = cell["around"]["Dense_0"]["kernel"]
  token = cell["known_in"]["kernel"][: cfg.token_dim]
  return cell["stoch_in"]["kernel"], token if cfg.token_dim else None, around


def _action_rows(cfg, params) -> jax.Array:
  """What each action adds to the inputs of a step, `[A, I]`."""
  cell = params["rssm"]
  if cfg.family == "v2":
    rows = cell["gru_ih"][cfg.stoch_dim :]
    return rows + jnp.broadcast_to(cell["gru_bias_ih"], rows.shape)
  return cell["known_in"]["kernel"][cfg.token_dim :]


def _rows(cfg, numbers: Numbers) -> Numbers:
  """Rows of the tables that drawn classes and values stand at."""
  classes = cfg.classes * np.arange(cfg.stoch, dtype=np.int32)
  return Numbers(
    numbers.stoch + jnp.broadcast_to(classes, numbers.stoch.shape),
    _token_rows(cfg, numbers.tokens),
  )


def _token_rows(cfg, token: jax.Array) -> jax.Array:
  """Rows `[..., M]` of a table of all values that tokens `[..., M]` have."""
  places = tokens_lib.slices(cfg.token_sizes).values()
  starts = np.array([place.start for place in places], np.int32)
  return token + jnp.broadcast_to(starts, token.shape)


def _around(cfg, params, hot, given, action) -> jax.Array:
  """What the cells around add to the inputs, `[N, hidden]`."""
  weights = params["rssm"]["around"]
  kernel = weights["Dense_0"]["kernel"]
  atlas = world_model.map_memory(params)
  step = jax.nn.one_hot(action, specs.NUM_ACTIONS)
  cells = world_model.cells_around(cfg, atlas, hot, step)
  embedding = atlas_reader.CellEmbedding(
    cfg.tile_vocab, cfg.atlas_cells, cfg.atlas_units, cfg.tile_units
  )
  found = embedding.apply({"params": weights["CellEmbedding_0"]}, *cells)
  seen = jnp.asarray(found).reshape(len(hot), -1)
  known = cfg.token_dim + specs.NUM_ACTIONS
  hidden = given + kernel[cfg.token_dim + action]
  return _rest(weights, hidden + nn.silu(seen) @ kernel[known:])


def _prior(cfg, params, deter, token) -> jax.Array:
  """Log-probabilities `[N, S, K]` of latents, as the cell's `prior`."""
  if cfg.family == "v2" or not cfg.token_sizes:
    none = jnp.zeros((*deter.shape[:-1], 0))
    return world_model.apply(cfg, params, "rssm", deter, none, method="prior")
  weights = params["rssm"]["prior_net"]
  kernel = weights["Dense_0"]["kernel"]
  hidden = deter @ kernel[: cfg.deter]
  hidden += table_sums.sum_rows(kernel[cfg.deter :], _token_rows(cfg, token))
  logits = _rest(weights, hidden)
  return world_model.apply(cfg, params, "rssm", logits, method="categorical")


def _rest(weights, hidden: jax.Array) -> jax.Array:
  """What follows the first layer of a `blocks.MLP` or of the cells' reader."""
  x = nn.RMSNorm().apply({"params": weights["RMSNorm_0"]}, hidden)
  last = weights["Dense_1"]
  made = nn.silu(jnp.asarray(x)) @ last["kernel"]
  if "bias" not in last:
    return made
  return made + jnp.broadcast_to(last["bias"], made.shape)
