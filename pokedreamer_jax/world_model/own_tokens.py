"""The model's own tokens in place of recorded ones, for training.

In a dream a step reads what the step before made of the tokens; in training it
reads the recorded ones, so it never sees a mistake of its own. Here some
windows of a batch are looked at first, without gradient, and what the model
says of their rows one step ahead is what the steps of the second look read
(scheduled sampling, Bengio et al. 2015, one step deep).
"""

import math

import jax
import jax.numpy as jnp

from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import table_step


def tokens_tm1(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  key: jax.Array,
  batch: world_model.Batch,
  embed: jax.Array,
  share: float,
  draw: world_model.DrawFn = sampling.straight_through,
) -> jax.Array:
  """What steps read as the tokens of the row before, `[B, T, R]`.

  In `share` of the windows it is a sample of the model's own prediction of that
  row from the recorded row before it, else the recorded tokens. Windows stand
  in no order, so the first ones are taken: as many as `share` comes to, rounded
  up, each with such a probability that on average it is `share` of all.

  All that a step makes of it reads the same tokens, as in a dream: the cells
  around the place and, with relative tokens, the value that a change is added
  to. So where the own value is wrong, a change is learned that leads back.

  A row that is first is predicted from nothing, so are a window's first tokens:
  they stay as recorded.

  Args:
    cfg: sizes; takes tokens.
    params: parameters; no gradient.
    key: typed PRNG key; consumed.
    batch: fields `[B, T, ...]`.
    embed: embeddings `[B, T, E]` of the frames; no gradient.
    share: of the windows, above 0, at most 1.
    draw: how latents are drawn from the posterior.
  """
  stop = jax.lax.stop_gradient
  params, embed = stop(params), stop(embed)
  hot = world_model.read_tokens(cfg, params, batch)
  windows, rows = batch["is_first"].shape
  count = math.ceil(share * windows)
  observe_key, token_key, chosen_key = jax.random.split(key, 3)
  few = {name: value[:count] for name, value in batch.items()}
  seen = world_model.observe(
    cfg, params, observe_key, few, draw=draw, embed=embed[:count]
  )
  before = world_model.last_tokens(
    world_model.initial_state(cfg, (count,)).tokens,
    hot[:count],
    few["is_first"],
  )
  own = table_step.draw_tokens(
    *(cfg, params, token_key),
    seen.state.deter.reshape(count * rows, -1),
    before.reshape(count * rows, -1),
    most_likely=False,
  ).reshape(hot[:count].shape)
  taken = jax.random.uniform(chosen_key, (count, 1)) < share * windows / count
  begins = few["is_first"].at[:, 0].set(True)
  own = jnp.where((taken & ~begins)[..., None], own, hot[:count])
  read = jnp.concatenate([own, hot[count:]])
  return world_model.last_tokens(
    world_model.initial_state(cfg, (windows,)).tokens, read, batch["is_first"]
  )
