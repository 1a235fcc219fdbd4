"""Goals in dreams: what `data_tools/game/goals.py` asks of rows, of states.

States hold their tokens, so most goals are read off two consecutive ones;
whether a battle was won is the reward heads' probability, where tokens say
that one is over. On recorded rows, whose tokens and terms are the true ones,
both say the same (a test holds them together). What differs in dreams:

- No token says that a game runs: it does where any token but a clock is not 0,
  since all fields of a title screen are.
- `badges` is a count: a certain badge is the one that lifts the count past its
  number, as where badges come in order. Elsewhere it is another one.
- A change of places between creatures of one level and one most HP heals the
  first, unless a token tells the species.
- What exceeds a token's size is not seen: `check` refuses goals beyond it.

Nothing here branches on a goal, so goals are arguments of a jitted function.
"""

from collections.abc import Iterable
from collections.abc import Sequence

import chex
from flax import struct
import jax
import jax.numpy as jnp

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.config import world_model as world_model_config
from pokedreamer_jax.world_model import tokens

# Tokens that kinds are judged by; of several in one entry any will do.
_NEEDS = {
  "map": ("map",),
  "tile": ("map", "y", "x", "control"),
  "badge": ("map", "badges"),
  "win": ("map", "battle"),
  "win_wild": ("map", "battle"),
  "win_trainer": ("map", "battle"),
  "win_leader": ("map", "badges"),
  "catch": ("map", "dex_owned"),
  "own": ("map", "dex_owned"),
  "heal": ("map", "battle", "hp", "active_max_hp|max_hp", "level"),
  "level": ("map", "level"),
  "item": ("map", "capture_items"),
  "story": ("map", "event_flags"),
  "talk": ("map", "battle", "dialog", "menu"),
  "explore": ("map",),
}
_UNKNOWN = {
  "heal_party": "no token tells the HP of a whole party",
  "text": "nothing can judge a text",
}
_SPECIES = ("species", "active_species")  # of the first, outside battle
_WILD_BATTLE, _TRAINER_BATTLE = 1, 2  # values of the token `battle`


def check(
  cfg: world_model_config.WorldModelConfig, kinds: Iterable[str]
) -> None:
  """Raises ValueError where dreams do not tell whether goals are reached.

  Args:
    cfg: names the tokens of the state.
    kinds: of `goal_specs.KINDS`.
  """
  for kind in kinds:
    goal_specs.index(kind)
    if kind in _UNKNOWN:
      raise ValueError(
        f"goal.kind: {kind!r}, {_UNKNOWN[kind]}, expected one of {judged(cfg)}"
      )
    for name in _lacks(cfg, kind):
      raise ValueError(
        f"goal.kind: {kind!r} is judged by the token {name!r}, which "
        f"world_model.tokens lacks, expected one of {judged(cfg)}"
      )


def check_goals(
  cfg: world_model_config.WorldModelConfig, goals: Iterable[goal_specs.Goal]
) -> None:
  """`check` of kinds, and of numbers that are beyond a token's size.

  The last value of a token stands for all above it as well.

  Raises:
    ValueError: a goal that dreams cannot tell from others.
  """
  for goal in goals:
    check(cfg, [goal.kind])
    for field, (token, spare) in _SIZED.get(goal.kind, {}).items():
      value, size = getattr(goal, field), cfg.token_sizes[token]
      most = size - 1 - (spare if size < 256 else 0)
      if value is not None and value > most:
        raise ValueError(
          f"goal.{field}: {value} of {str(goal)!r}, expected at most {most}: "
          f"the token {token!r} has {size} values"
        )


# Kind -> argument -> the token that holds it, and how much below the token's
# last value it must lie. "At least" and counts past a number may touch that.
_PLACE = {"map_id": ("map", 1), "y": ("y", 1), "x": ("x", 1)}
_SIZED: dict[str, dict[str, tuple[str, int]]] = {
  "map": {"map_id": ("map", 1)},
  "tile": _PLACE,
  "badge": {"number": ("badges", 1)},
  "own": {"number": ("dex_owned", 0)},
  "level": {"number": ("level", 0)},
}


def judged(cfg: world_model_config.WorldModelConfig) -> list[str]:
  """The kinds that `check` lets pass, "none" left out."""
  return [kind for kind in _NEEDS if not _lacks(cfg, kind)]


def _lacks(
  cfg: world_model_config.WorldModelConfig, kind: str
) -> tuple[str, ...]:
  """Tokens that a kind needs and the state does not hold."""
  sizes = cfg.token_sizes
  return tuple(
    need.split("|")[0]
    for need in _NEEDS.get(kind, ())
    if not any(name in sizes for name in need.split("|"))
  )


@struct.dataclass
class Arrivals:
  """What steps that arrive at states 1..L did, whatever the goal; `[L, N]`."""

  running: jax.Array  # bool, a game runs
  map: jax.Array  # int32, as the next four
  y: jax.Array
  x: jax.Array
  owned: jax.Array
  level: jax.Array
  badges: jax.Array  # int32, and before; equal where nothing counts
  badges_tm1: jax.Array
  control: jax.Array  # bool, as all below
  catch: jax.Array
  heal: jax.Array
  item: jax.Array
  story: jax.Array
  talk: jax.Array
  explore: jax.Array
  wild: jax.Array  # float32, probability of a won battle
  trainer: jax.Array


def arrivals(
  cfg: world_model_config.WorldModelConfig,
  feat: jax.Array,
  reward_terms: jax.Array,
  visited: jax.Array,
) -> Arrivals:
  """Reads consecutive states, of dreams or of recorded rows.

  Args:
    cfg: sizes; kinds whose tokens it lacks are reached by nothing.
    feat: features `[L + 1, N, F]`, which hold the tokens.
    reward_terms: `[L, N, 8]` on arriving at states 1..L; in dreams expected
      ones, of which wins are probabilities.
    visited: maps seen up to and with each state, `[L + 1, N, 256]` bool.
  """
  length, count = feat.shape[0] - 1, feat.shape[1]
  chex.assert_shape(feat, (length + 1, count, cfg.feat_dim))
  chex.assert_shape(reward_terms, (length, count, specs.NUM_REWARD_TERMS))
  chex.assert_shape(visited, (length + 1, count, 256))
  states = _states(cfg, feat)
  before = {name: value[:-1] for name, value in states.items()}
  now = {name: value[1:] for name, value in states.items()}
  goes_on = before["running"] & now["running"]
  at_peace = goes_on & (before["battle"] == 0) & (now["battle"] == 0)
  over = goes_on & (now["battle"] == 0)
  more = lambda name: goes_on & (now[name] > before[name])
  known = jnp.take_along_axis(visited[:-1], now["map"][..., None], axis=-1)
  term = lambda name: jnp.clip(
    reward_terms[..., specs.REWARD_TERMS.index(name)], 0.0, 1.0
  )
  won = lambda kind, name: jnp.where(
    over & (before["battle"] == kind), term(name), 0.0
  )
  return Arrivals(
    running=now["running"],
    map=now["map"],
    y=now["y"],
    x=now["x"],
    owned=now["dex_owned"],
    level=now["level"],
    badges=now["badges"],
    badges_tm1=jnp.where(goes_on, before["badges"], now["badges"]),
    control=now["control"] > 0,
    catch=more("dex_owned"),
    heal=at_peace & _healed(before, now),
    item=more("capture_items"),
    story=more("event_flags"),
    talk=at_peace
    & (now["dialog"] > 0)
    & (now["menu"] == 0)
    & (before["dialog"] == 0),
    explore=goes_on & ~known[..., 0],
    wild=won(_WILD_BATTLE, "wild_wins"),
    trainer=won(_TRAINER_BATTLE, "trainer_wins"),
  )


def reached(arrived: Arrivals, goals: jax.Array) -> jax.Array:
  """Probability that the steps that arrive at states 1..L reach goals.

  Args:
    arrived: `[L, N]`.
    goals: arrays `[N, SIZE]`, one a dream, or `[L, N, SIZE]`.

  Returns:
    `[L, N]` float32; 0 or 1 but for won battles.
  """
  lead = arrived.running.shape
  goals = jnp.broadcast_to(
    goals.reshape((1,) * (len(lead) + 1 - goals.ndim) + goals.shape),
    (*lead, goal_specs.SIZE),
  )
  kind, a, b, c = jnp.moveaxis(goals, -1, 0)
  rises = arrived.badges > arrived.badges_tm1
  passes = (arrived.badges > a) & (arrived.badges_tm1 <= a)
  here = arrived.running & (arrived.map == a)
  found = {
    "map": here,
    "tile": here & arrived.control & (arrived.y == b) & (arrived.x == c),
    "badge": jnp.where(a < 0, rises, passes),
    # One step ends one battle: at most one of the two is above 0.
    "win": arrived.wild + arrived.trainer,
    "win_wild": arrived.wild,
    "win_trainer": arrived.trainer,
    "win_leader": rises,
    "catch": arrived.catch,
    "own": arrived.running & (arrived.owned >= a),
    "heal": arrived.heal,
    "level": arrived.running & (arrived.level >= a),
    "item": arrived.item,
    "story": arrived.story,
    "talk": arrived.talk,
    "explore": arrived.explore,
  }
  return jnp.select(
    [kind == goal_specs.index(name) for name in found],
    [value.astype(jnp.float32) for value in found.values()],
    jnp.zeros(lead, jnp.float32),
  )


def reached_all(arrived: Arrivals, goals: jax.Array) -> jax.Array:
  """`reached` of all goals `[K, SIZE]` by every step, `[L, N, K]`."""
  return jax.vmap(reached, in_axes=(None, 0), out_axes=-1)(
    arrived, goals[:, None]
  )


@struct.dataclass
class Table:
  """Goals on the device; rows are looked up by a goal's number `[...]`."""

  goals: jax.Array  # [K, SIZE] int32
  embeddings: jax.Array  # [K, 64] float32

  def look_up(self, number: jax.Array) -> "Table":
    """Goals `[..., SIZE]` and embeddings `[..., 64]` of numbers `[...]`."""
    return Table(self.goals[number], self.embeddings[number])


def table(goals: Sequence[goal_specs.Goal]) -> Table:
  """The table of a list of goals, in its order."""
  return Table(
    goals=jnp.asarray(goal_specs.stack(goals)),
    embeddings=jnp.asarray(goal_embeddings.embed_goals(goals)),
  )


def _states(
  cfg: world_model_config.WorldModelConfig, feat: jax.Array
) -> dict[str, jax.Array]:
  """Numbers `[L + 1, N]` int32 of tokens, 0 where there are none."""
  sizes = cfg.token_sizes
  hot = feat[..., cfg.feat_dim - cfg.token_dim :]
  zero = jnp.zeros(feat.shape[:-1], jnp.int32)
  read = {
    name: jnp.argmax(hot[..., place], axis=-1).astype(jnp.int32)
    for name, place in tokens.slices(sizes).items()
  }
  running = zero > 0
  for name, value in read.items():
    if name not in tokens.CLOCKS:  # they go on without a game
      running |= value > 0
  needed = {n for need in _NEEDS.values() for part in need for n in
            part.split("|")}  # fmt: skip
  states = {name: read.get(name, zero) for name in sorted(needed)}
  # The first creature is the one that fights, where nobody does.
  states["max_hp"] = read.get("max_hp", states["active_max_hp"])
  states["species"] = next((read[n] for n in _SPECIES if n in read), zero)
  return states | {"running": running}


def _healed(
  before: dict[str, jax.Array], now: dict[str, jax.Array]
) -> jax.Array:
  """Whether the first creature is full now and was not, if none fights."""
  same = [before[n] == now[n] for n in ("map", "level", "max_hp", "species")]
  return (
    jnp.stack(same).all(axis=0)
    & (before["hp"] < before["max_hp"])
    & (now["hp"] >= now["max_hp"])
  )
