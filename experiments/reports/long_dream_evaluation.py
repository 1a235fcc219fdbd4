"""`evaluate --what=long_dream`: five minutes of dream, held against records."""

from collections.abc import Mapping
import functools
import pathlib
from typing import Any

import numpy as np

from experiments.reports import pictures
from experiments.runs import inputs
from experiments.runs import progress
from pokedreamer_jax import specs
from pokedreamer_jax.config import run as config_lib

RANDOM, GAME = "random", "the game"
_PICTURES = {"1 min": 149, "2 min": 299, "5 min": 746}  # steps of 402 ms
_SHOWN = 3  # dreams of each player
_FIELDS = (
  *("frame", "action", "map_id", "y", "x", "facing", "has_control"),
  *("in_battle", "dialog_open", "menu_open", "game_running"),
)


class Part:
  """What `evaluate` asks of a measurement, with a place for its pictures."""

  def __init__(self, folder: pathlib.Path):
    """`folder` is there once anything is measured."""
    self._folder = folder

  def dreams(self, config: config_lib.Config) -> bool:
    """Whether agents need their whole world model: whatever is asked."""
    del config
    return True

  def check(self, directory: str) -> None:
    """Raises ValueError where tokens do not tell what is judged."""
    from pokedreamer_jax.evaluation import long_dreams

    long_dreams.check(inputs.load_config(directory).world_model.token_sizes)

  def measure(
    self,
    config: config_lib.Config,
    rom: Any,
    generation: Any,
    agents: Mapping[str, inputs.Agent],
  ) -> dict[str, Any]:
    """`measure` of this module, with the place for pictures."""
    return measure(config, rom, generation, agents, self._folder)


def measure(
  config: config_lib.Config,
  rom: Any,
  generation: Any,
  agents: Mapping[str, inputs.Agent],
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Dreams on from rows of held-out episodes, and judges what was dreamt.

  Args:
    config: gives `evaluate` and the seed.
    rom: a `data_tools.game.roms.Rom`, of the recording.
    generation: its training episodes are what is known, its held-out ones give
      the starts and the reference line.
    agents: by name; the random player dreams in the first one's model.
    folder: where pictures go.

  Raises:
    ValueError: no held-out episode is long enough to start in.
  """
  import jax

  from data_tools.records import loader
  from pokedreamer_jax.evaluation import long_dreams

  evaluate = config.evaluate
  memory = long_dreams.Memory()
  for _, rows in loader.EpisodeIndex(generation, "train").episodes(_FIELDS):
    memory.add(long_dreams.recorded(rows))
  index = loader.EpisodeIndex(generation, "val")
  batch = _starts(index, evaluate, np.random.default_rng([config.seed, 0x10A6]))
  result: dict[str, Any] = {
    "rom": {"name": rom.name, "sha1": rom.sha1},
    "steps": evaluate.long_steps,
    "dreams": len(batch["is_first"]),
    "walls": len(memory.walls),
    "players": {},
  }
  players = {**dict.fromkeys([RANDOM], next(iter(agents.values()))), **agents}
  shown = []
  with progress.Progress("long dreams", len(players), "players") as bar:
    bar.compiling(about_s=60)
    for number, (name, agent) in enumerate(players.items()):
      dream = jax.jit(
        functools.partial(
          _dream, agent.config, evaluate.long_steps, name == RANDOM
        )
      )
      key = jax.random.key(config.seed)
      frames, action, tokens, going = jax.device_get(
        dream(agent.world_params, agent.actor_params, key, batch)
      )
      sizes = agent.config.world_model.token_sizes
      each = []
      for i in range(frames.shape[1]):
        length = max(2, int(going[:, i].sum()))
        part = slice(None, length)
        seen = long_dreams.dreamt(
          frames[part, i], action[part, i], tokens[part, i], sizes
        )
        over = int(length < evaluate.long_steps)
        each.append({**memory.judge(seen), "over": over})
      result["players"][name] = _summed(each, evaluate.bootstrap)
      shown.append(_rows(name, frames))
      bar.update(number + 1)
  each = []
  for _, rows in index.episodes(_FIELDS):
    if len(rows["frame"]) > 1:
      each.append({**memory.judge(long_dreams.recorded(rows)), "over": 0})
  result["players"][GAME] = _summed(each, evaluate.bootstrap)
  columns = ["start", *(n for n, s in _PICTURES.items() if s <= len(frames))]
  sheet = pictures.contact_sheet(shown, columns, 1.0)
  pictures.save_png(sheet, folder / "long_dreams.png")
  return result


def _starts(index: Any, evaluate: Any, rng: np.random.Generator) -> Any:
  """A batch `[N, context, ...]` that ends where a game runs."""
  found: list[dict[str, np.ndarray]] = []
  context = evaluate.context
  fields = [name for name in specs.STEP_FIELD_NAMES if name != "behaviour"]
  while len(found) < evaluate.long_starts:
    before = len(found)
    for place in rng.permutation(len(index)).tolist():
      length = int(index.lengths[place])
      running = index.read(place, 0, length, ("game_running",))["game_running"]
      rows = np.flatnonzero(running[context : length - 1]) + context
      if len(rows) and len(found) < evaluate.long_starts:
        last = int(rng.choice(rows))
        window = index.read(place, last - context, last + 1, fields)
        rest = {name: value[1:] for name, value in window.items()}
        found.append({**rest, "first_action_tm1": window["action"][0]})
    if len(found) == before:
      raise ValueError(
        f"evaluate.context: {context}, no held-out episode runs so long"
      )
  return {name: np.stack([one[name] for one in found]) for name in found[0]}


def _dream(cfg, length, random, world, actor, key, batch):
  """Frames, actions and tokens `[L, N, ...]`, and whether they still go on."""
  import jax
  import jax.numpy as jnp

  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.networks import actor_critic
  from pokedreamer_jax.networks import sampling
  from pokedreamer_jax.world_model import imagination
  from pokedreamer_jax.world_model import model as world_model
  from pokedreamer_jax.world_model import parts
  from pokedreamer_jax.world_model import progress as progress_lib
  from pokedreamer_jax.world_model import tokens

  model = cfg.world_model
  sizes = model.token_sizes
  see_key, dream_key = jax.random.split(key)
  seen = world_model.observe(
    model, world, see_key, batch, infer=model.infers_tokens
  )
  state = jax.tree.map(lambda leaf: leaf[:, -1], seen.state)
  count = len(batch["is_first"])
  reached = progress_lib.advance(
    sizes, state.tokens, progress_lib.nothing((count,))
  )

  def step(carry, key):
    state, reached, going = carry
    action_key, prior_key = jax.random.split(key)
    if random:
      action = jax.random.randint(action_key, (count,), 0, specs.NUM_ACTIONS)
    else:
      read = policy_inputs.read(cfg, state, reached)
      logits = actor_critic.actor_logits(cfg.actor_critic, actor, read)
      action = sampling.categorical(action_key, logits)
    feat = world_model.features(state)
    shown = (
      world_model.decode(model, world, state),
      action,
      tokens.numbers(sizes, state.tokens),
      going,
    )
    logit = parts.apply(model, world, "continue", feat)
    going = going & (logit > 0)
    state = imagination.prior_step(model, world, prior_key, state, action)
    reached = progress_lib.advance(sizes, state.tokens, reached)
    return (state, reached, going), shown

  start = (state, reached, jnp.ones(count, bool))
  _, shown = jax.lax.scan(step, start, jax.random.split(dream_key, length))
  return shown


def _summed(each: list[dict[str, int]], draws: int) -> dict[str, Any]:
  """Shares over all sequences, with intervals over the sequences."""
  from pokedreamer_jax.world_model import statistics

  counts = {name: np.array([one[name] for one in each]) for name in each[0]}
  found: dict[str, Any] = {
    name: int(values.sum()) for name, values in counts.items()
  }
  found["sequences"] = len(each)
  groups = np.arange(len(each))
  for name, part, whole in (
    ("known_share", "known", "frames"),
    ("wall_share", "through", "pushed"),
    ("alike_share", "alike", "visits"),
    ("whole_share", "whole", "texts"),
  ):

    def share(at, part=part, whole=whole):
      total = counts[whole][at].sum()
      return float(counts[part][at].sum() / total) if total else None

    found[name] = statistics.bootstrap(share, groups, draws)
  return found


def _rows(name: str, frames: np.ndarray) -> list[pictures.Row]:
  steps = [0, *(step for step in _PICTURES.values() if step <= len(frames))]
  count = min(_SHOWN, frames.shape[1])
  steps = [min(step, len(frames) - 1) for step in steps]
  return [
    pictures.Row(f"{name} {i + 1}", frames[steps, i]) for i in range(count)
  ]
