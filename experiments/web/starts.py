"""Where a dream in a page may begin: states of a real game that was seen.

The cartridge's demonstrator plays from power-on; the world model sees every
row, and its states at rows that differ in kind are kept.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.dreaming import game as game_lib
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.networks import sampling
from pokedreamer_jax.world_model import model as world_model
from pokedreamer_jax.world_model import tokens

MOST = 12
_SETTLED = 2  # rows that a situation must last before it is kept


@dataclasses.dataclass(frozen=True)
class Start:
  """A state to begin with."""

  name: str
  row: int  # of the play that it was seen in
  deter: np.ndarray  # [D] float32
  stoch: np.ndarray  # [S] int32, classes
  tokens: np.ndarray  # [M] int32, values

  def told(self) -> dict[str, Any]:
    """As JSON holds it, without loss."""
    return {
      "name": self.name,
      "deter": [float(value) for value in self.deter],
      "stoch": self.stoch.tolist(),
      "tokens": self.tokens.tolist(),
    }


def play(
  game: game_lib.Game, steps: int, seed: int = 0
) -> tuple[list[game_lib.Row], np.ndarray]:
  """What the demonstrator sees and presses from power-on.

  Args:
    game: a game that a demonstrator plays.
    steps: to play.
    seed: of its taste.

  Returns:
    Rows, `steps + 1` of them, and the buttons `[steps + 1]` that led there,
    the first one none.
  """
  rows = [game.begin(game_lib.Start(), None)]
  led = [specs.PASS]
  for _ in range(steps):
    led.append(game.choose(seed))
    rows.append(game.step(led[-1]))
  return rows, np.array(led, np.int32)


def choose(
  rows: Sequence[game_lib.Row],
  map_names: Mapping[int, str],
  enemy: Callable[[int], str],
  most: int = MOST,
) -> list[tuple[str, int]]:
  """Names and numbers of the rows that are the first of their kind.

  A map entered, a battle against somebody new, a text, a badge more. Where
  there are more kinds than `most`, they are taken evenly over the play.

  Args:
    rows: of one play, in order.
    map_names: of the game.
    enemy: name of a species.
    most: how many, at least 1.
  """
  seen: dict[str, int] = {}
  lasting, before = 0, ""
  for number, row in enumerate(rows):
    name = _situation(row, map_names, enemy)
    lasting = lasting + 1 if name == before else 1
    before = name
    if lasting == _SETTLED:
      seen.setdefault(name, number)
  found = [(name, number) for name, number in seen.items() if name]
  if len(found) > most:
    at = np.linspace(0, len(found) - 1, most).round().astype(int)
    found = [found[i] for i in dict.fromkeys(at.tolist())]
  return found


def see(
  cfg: world_model_config.WorldModelConfig,
  params: world_model.Params,
  rows: Sequence[game_lib.Row],
  led: np.ndarray,
) -> world_model.State:
  """States `[T, ...]` after each row, their likeliest latents; numpy.

  Args:
    cfg: sizes.
    params: of the page: rounded.
    rows: of one play, `T` of them.
    led: `[T]`, the buttons that led there.
  """
  batch = {
    name: np.stack([row[name] for row in rows])[None]
    for name in (*dream_play.row_fields(cfg), "frame")
  }
  first = np.zeros((1, len(rows)), bool)
  first[0, 0] = True
  # In a batch, a row's action is the one chosen there.
  action = np.append(led[1:], specs.PASS)[None]
  batch |= {
    "action": action,
    "first_action_tm1": led[:1],
    "is_first": first,
  }
  observe = jax.jit(
    functools.partial(
      world_model.observe,
      cfg,
      infer=cfg.infers_tokens,
      draw=lambda key, post: sampling.most_likely_straight_through(post),
    )
  )
  given = {name: jnp.asarray(value) for name, value in batch.items()}
  seen = observe(params, jax.random.key(0), given)
  return jax.tree.map(lambda leaf: np.asarray(leaf[0]), seen.state)


def take(
  cfg: world_model_config.WorldModelConfig,
  states: world_model.State,
  named: Sequence[tuple[str, int]],
) -> list[Start]:
  """Starts at rows of states `[T, ...]`."""
  deter, stoch = np.asarray(states.deter), np.asarray(states.stoch)
  stoch = stoch.reshape(-1, cfg.stoch, cfg.classes).argmax(-1)
  numbers = np.asarray(tokens.numbers(cfg.token_sizes, states.tokens))
  return [
    Start(name, row, deter[row], stoch[row], numbers[row])
    for name, row in named
  ]


def state(
  cfg: world_model_config.WorldModelConfig, starts: Sequence[Start]
) -> world_model.State:
  """Starts as states of the model, leaves `[N, ...]`."""
  stoch = np.eye(cfg.classes, dtype=np.float32)
  return world_model.State(
    deter=jnp.asarray(np.stack([one.deter for one in starts])),
    stoch=jnp.asarray(
      np.stack([stoch[one.stoch].reshape(-1) for one in starts])
    ),
    tokens=tokens.one_hot(
      cfg.token_sizes, jnp.asarray(np.stack([one.tokens for one in starts]))
    ),
  )


def _situation(
  row: game_lib.Row,
  map_names: Mapping[int, str],
  enemy: Callable[[int], str],
) -> str:
  """What a row is an example of; "" of nothing that is kept."""
  if not row["game_running"]:
    return "Title screen"
  place = int(row["map_id"])
  name = map_names.get(place, f"map {place}")
  if row["in_battle"] in (1, 2):
    who = enemy(int(row["enemy_species"]))
    kind = "Wild" if row["in_battle"] == 1 else "Trainer's"
    return f"{kind} {who}"
  if row["dialog_open"]:
    return f"Text: {name}"
  if row["has_control"] and not row["menu_open"]:
    badges = int(row["badges"]).bit_count()
    return f"{name}, {badges} badges" if badges else name
  return ""
