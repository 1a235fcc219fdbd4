"""The imagined step with drawn states as numbers, not as one-hot vectors.

What a state adds to the first layers that read it (its *share*) is a sum of
table rows once the state was drawn: the step that draws it knows the numbers.
All these layers lie in two tables, one for tokens and one for latents: those of
the next step, of a policy that says what its first layer is, and of the reader
of cells. Only the share of a dream's first state is a product, so that any
state will do there, one without any token too. The results are those of the
dense step, `imagination.prior_step`, but for the order of sums.
"""

from typing import Protocol

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
from pokedreamer_jax.networks import v2_layers
from pokedreamer_jax.world_model import atlas_sight
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import parts as parts_lib
from pokedreamer_jax.world_model import relative_tokens
from pokedreamer_jax.world_model import token_prior
from pokedreamer_jax.world_model import tokens as tokens_lib

_HEADS = ("reward", "continue")


class TablePolicy(Protocol):
  """A policy that tells its first layer, so that rows of it can be summed."""

  @property
  def kernel(self) -> jax.Array:
    """Of the world model's features, then of what was reached, `[F, U]`."""

  def __call__(self, key: jax.Array, inputs: jax.Array) -> jax.Array:
    """Actions `[N]` for inputs `[N, F]`."""

  def after(
    self, key: jax.Array, product: jax.Array, beside: jax.Array
  ) -> jax.Array:
    """Actions `[N]`.

    Args:
      key: typed PRNG key; consumed.
      product: of the world model's features and their rows of `kernel`.
      beside: all inputs that come after the features, `[N, P + G]`.
    """


@flax.struct.dataclass
class Tables:
  """Rows that drawn states add to first layers; the same for a whole dream."""

  stoch: jax.Array  # [S K, I + U]
  token: jax.Array | None  # [R, H + C + I + U]
  action: jax.Array  # [A, I]
  policy: jax.Array  # [D, U], of the recurrent part
  prior: jax.Array | None  # [D, H], where the prior reads tokens
  chain: jax.Array | None  # of `chain_matrix`
  # H of the prior, C of the reader of cells, I of the step, U of the policy.
  sizes: tuple[int, int, int, int] = flax.struct.field(pytree_node=False)


@flax.struct.dataclass
class Share:
  """What is known of states `[N]` beside themselves.

  What they add to layers that read one-hots of them, and their tokens' numbers.
  """

  around: jax.Array  # [N, C], C is 0 without a reader of cells
  inputs: jax.Array  # [N, I], of the recurrent step
  policy: jax.Array  # [N, U], U is 0 where the policy reads features
  token: jax.Array  # [N, M] int32


@flax.struct.dataclass
class Numbers:
  """Drawn states: which class and which value, `[..., S]` and `[..., M]`."""

  stoch: jax.Array
  tokens: jax.Array


def serves(cfg: world_model_config.WorldModelConfig) -> bool:
  """Whether this form is there: sums of rows are of full precision."""
  return cfg.compute_dtype == "float32"


def tables(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  policy: jax.Array | None = None,
) -> Tables:
  """The tables of a dream, made once before its scan.

  Args:
    cfg: sizes.
    params: parameters.
    policy: `TablePolicy.kernel` `[F, U]`, if there is one.
  """
  cell = params["rssm"]
  if policy is None:
    policy = jnp.zeros((cfg.feat_dim, 0))
  ends = [cfg.deter, cfg.deter + cfg.stoch_dim, cfg.feat_dim]
  recurrent, latent, known, _ = jnp.split(policy, ends)
  if cfg.family == "v2":
    stoch = cell["gru_ih"][: cfg.stoch_dim]
    action = cell["gru_ih"][cfg.stoch_dim :]
    action += jnp.broadcast_to(cell["gru_bias_ih"], action.shape)
    token = prior = None
  else:
    stoch = cell["stoch_in"]["kernel"]
    token = cell["known_in"]["kernel"][: cfg.token_dim]
    action = cell["known_in"]["kernel"][cfg.token_dim :]
    prior = cell["prior_net"]["Dense_0"]["kernel"]
  around = jnp.zeros((cfg.token_dim, 0))
  if cfg.reads_around:
    around = cell["around"]["Dense_0"]["kernel"][: cfg.token_dim]
  sizes = (0, around.shape[1], stoch.shape[1], policy.shape[1])
  joined = None
  if not cfg.token_sizes:
    prior = None
  if token is not None and prior is not None:
    sizes = (prior.shape[1], *sizes[1:])
    parts = [prior[cfg.deter :], around, token, known]
    joined = jnp.concatenate(parts, axis=1)
    prior = prior[: cfg.deter]
  return Tables(
    stoch=jnp.concatenate([stoch, latent], axis=1),
    token=joined,
    action=action,
    policy=recurrent,
    prior=prior,
    chain=token_prior.chain_matrix(cfg, params) if cfg.token_sizes else None,
    sizes=sizes,
  )


def share(
  cfg: world_model_config.WorldModelConfig,
  rows: Tables,
  state: world_model.State,
) -> Share:
  """The share of any states, leaves `[N, ...]`, as products."""
  known = None
  if rows.token is not None:
    known = state.tokens @ rows.token[:, rows.sizes[0] :]
  token = tokens_lib.numbers(cfg.token_sizes, state.tokens)
  return _shared(rows, state.stoch @ rows.stoch, known, token)


def step(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  rows: Tables,
  key: jax.Array,
  deter: jax.Array,
  hot: jax.Array,
  given: Share,
  action: jax.Array,
  most_likely: bool | jax.Array = False,
) -> tuple[jax.Array, jax.Array, Share, Numbers]:
  """One imagined step of `N` states; arguments as of `prior_step`.

  Args:
    cfg: sizes.
    params: parameters.
    rows: of `tables`.
    key: typed PRNG key; consumed.
    deter: of the states, `[N, D]`.
    hot: their tokens, one-hot `[N, R]`.
    given: their share.
    action: `[N]` integer.
    most_likely: as in `imagination.prior_step`.

  Returns:
    Of the next states: the recurrent part, tokens, share, and what was drawn.
  """
  token_key, stoch_key = jax.random.split(key)
  inputs = given.inputs + rows.action[action]
  if cfg.reads_around:
    inputs += _around(cfg, params, hot, given.around, action)
  deter = parts_lib.apply(cfg, params, "rssm", deter, inputs, method="advance")
  token = _drawn_tokens(
    *(cfg, params, token_key, deter, hot, given.token),
    *(rows.chain, most_likely),
  )
  hot = tokens_lib.one_hot(cfg.token_sizes, token)
  known = None
  if rows.token is not None:
    known = table_sums.sum_rows(rows.token, _token_rows(cfg, token))
  logits = _prior_logits(cfg, params, rows, deter, known)
  number = sampling.draw_logits(stoch_key, logits, most_likely)
  summed = table_sums.sum_rows(rows.stoch, _stoch_rows(cfg, number))
  if known is not None:
    known = known[:, rows.sizes[0] :]
  return deter, hot, _shared(rows, summed, known, token), Numbers(number, token)


def act(
  cfg: world_model_config.WorldModelConfig,
  rows: Tables,
  policy: TablePolicy,
  key: jax.Array,
  deter: jax.Array,
  given: Share,
  inputs: jax.Array,
) -> jax.Array:
  """Actions `[N]` of a policy whose kernel is in the tables.

  Args:
    cfg: sizes.
    rows: of `tables`.
    policy: that acts.
    key: typed PRNG key; consumed.
    deter: of the states, `[N, D]`.
    given: their share.
    inputs: all that a policy reads of them, `[N, F]`; what comes after the
      features is read here.
  """
  product = deter @ rows.policy + given.policy
  return policy.after(key, product, inputs[:, cfg.feat_dim :])


def one_hots(
  cfg: world_model_config.WorldModelConfig,
  deter: jax.Array,
  numbers: Numbers,
) -> world_model.State:
  """Drawn states as everybody else reads them, leaves `[..., ...]`."""
  stoch = jax.nn.one_hot(numbers.stoch, cfg.classes)
  hot = jnp.zeros((*deter.shape[:-1], 0))
  if cfg.token_sizes:
    hot = tokens_lib.one_hot(cfg.token_sizes, numbers.tokens)
  flat = stoch.reshape(*deter.shape[:-1], cfg.stoch_dim)
  return world_model.State(deter=deter, stoch=flat, tokens=hot)


def first_products(
  cfg: world_model_config.WorldModelConfig,
  kernels: list[jax.Array],
  deter: jax.Array,
  numbers: Numbers,
) -> list[jax.Array]:
  """Products `[..., U]` of the features of drawn states and kernels `[F, U]`.

  Args:
    cfg: sizes.
    kernels: first layers; rows after the features are not read.
    deter: of drawn states, `[..., D]`.
    numbers: theirs, leaves `[..., ...]`.
  """
  table = jnp.concatenate(
    [kernel[: cfg.feat_dim] for kernel in kernels], axis=1
  )
  index = jnp.concatenate(
    [
      _stoch_rows(cfg, numbers.stoch),
      cfg.stoch_dim + _token_rows(cfg, numbers.tokens),
    ],
    axis=-1,
  )
  products = deter @ table[: cfg.deter]
  products += table_sums.sum_rows(table[cfg.deter :], index)
  ends = np.cumsum([kernel.shape[1] for kernel in kernels])[:-1].tolist()
  return jnp.split(products, ends, axis=-1)


def first_kernels(
  cfg: world_model_config.WorldModelConfig, params: world_model.Params
) -> list[jax.Array]:
  """What the reward and the continue head multiply the features with first."""
  heads = [params[name] for name in _HEADS]
  if cfg.family == "v2":
    return [head["net"]["layer_0"]["kernel"] for head in heads]
  return [head["MLP_0"]["Dense_0"]["kernel"] for head in heads]


def judged(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  products: list[jax.Array],
) -> tuple[jax.Array, jax.Array]:
  """Outputs of the reward head `[..., O]` and continue logits `[...]`.

  Of family v2 the weighted reward `[...]`.

  Args:
    cfg: sizes.
    params: parameters.
    products: of features and `first_kernels`.
  """
  if cfg.family == "v2":
    outputs = [
      parts_lib.apply(cfg, params, name, product, product)
      for name, product in zip(_HEADS, products, strict=True)
    ]
    return outputs[0], outputs[1]
  outputs = [
    _rest(params[name]["MLP_0"], product)
    for name, product in zip(_HEADS, products, strict=True)
  ]
  return outputs[0], outputs[1][..., 0]


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
  chain = token_prior.chain_matrix(cfg, params) if cfg.token_sizes else None
  number = _drawn_tokens(
    *(cfg, params, key, deter, tokens_tm1, None, chain, most_likely)
  )
  return tokens_lib.one_hot(cfg.token_sizes, number)


def _drawn_tokens(
  cfg, params, key, deter, hot, number, chain, most_likely
) -> jax.Array:
  """`draw_tokens` as numbers `[N, M]`."""
  if not cfg.token_sizes:
    return jnp.zeros((*deter.shape[:-1], 0), jnp.int32)
  changes = None
  if cfg.chain_changes:
    logits, scores = token_prior.outputs(cfg, params, deter)
    changes = _changes(cfg, scores, hot, number)
  else:
    logits = token_prior.logits(cfg, params, deter, hot, number)
  return sampling.token_numbers(
    key, cfg.token_sizes, logits, chain, most_likely, changes
  )


def _changes(cfg, scores, hot, number) -> sampling.Changes:
  """What the chain reads of changes, for the tokens after `hot`."""
  last = tokens_lib.numbers(cfg.token_sizes, hot) if number is None else number
  return sampling.Changes(
    scores=scores,
    last=last,
    known=relative_tokens.known(hot),
    scores_of=jnp.asarray(relative_tokens.scores_of(cfg)),
    counts=relative_tokens.counts(cfg),
  )


def _shared(
  rows: Tables,
  summed: jax.Array,
  known: jax.Array | None,
  token: jax.Array,
) -> Share:
  """Sums `[N, I + U]` of latents and `[N, C + I + U]` of tokens, by reader."""
  _, around, inputs, _ = rows.sizes
  cells = jnp.zeros((len(summed), 0))
  if known is not None:
    cells, known = jnp.split(known, [around], axis=-1)
    summed = summed + known
  inputs_sum, policy_sum = jnp.split(summed, [inputs], axis=-1)
  return Share(around=cells, inputs=inputs_sum, policy=policy_sum, token=token)


def _stoch_rows(cfg, number: jax.Array) -> jax.Array:
  """Rows `[..., S]` of a table of all classes that drawn ones stand at."""
  classes = cfg.classes * np.arange(cfg.stoch, dtype=np.int32)
  return number + jnp.broadcast_to(classes, number.shape)


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
  cells = atlas_sight.around(cfg, atlas, hot, step)
  embedding = atlas_reader.CellEmbedding(
    cfg.tile_vocab, cfg.atlas_cells, cfg.atlas_units, cfg.tile_units
  )
  found = embedding.apply({"params": weights["CellEmbedding_0"]}, *cells)
  seen = jnp.asarray(found).reshape(len(hot), -1)
  known = cfg.token_dim + specs.NUM_ACTIONS
  hidden = given + kernel[cfg.token_dim + action]
  return _rest(weights, hidden + nn.silu(seen) @ kernel[known:])


def _prior_logits(cfg, params, rows, deter, known) -> jax.Array:
  """Logits `[N, S, K]` of latents, of which the cell's `prior` makes more."""
  weights = params["rssm"]["prior_net"]
  if cfg.family == "v2":
    net = v2_layers.MLP((cfg.hidden,), cfg.stoch_dim)
    logits = jnp.asarray(net.apply({"params": weights}, deter))
  elif rows.prior is None:
    logits = _rest(weights, deter @ weights["Dense_0"]["kernel"])
  else:
    logits = _rest(weights, deter @ rows.prior + known[:, : rows.sizes[0]])
  return logits.reshape(*deter.shape[:-1], cfg.stoch, cfg.classes)


def _rest(weights, hidden: jax.Array) -> jax.Array:
  """What follows the first layer of a `blocks.MLP` or of the cells' reader."""
  x = nn.RMSNorm().apply({"params": weights["RMSNorm_0"]}, hidden)
  last = weights["Dense_1"]
  made = nn.silu(jnp.asarray(x)) @ last["kernel"]
  if "bias" not in last:
    return made
  return made + jnp.broadcast_to(last["bias"], made.shape)
