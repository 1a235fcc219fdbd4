"""Dreams as Gymnasium environments, in the place of the emulator's.

Spaces, infos, rewards and ways to end are those of `data_tools.envs`, whose
classes these are: only what stands where the emulators stood is another thing.
An episode begins at the first row of a game that really runs for a moment,
with the start state and jitter of its seed; from there on nothing but buttons
goes into the dream. `experiments.dream_env` is the door.
"""

from collections.abc import Sequence
import functools
import os
from typing import Any

import gymnasium
from gymnasium import vector as gymnasium_vector
from gymnasium.utils import seeding
import numpy as np

from data_tools.envs import env
from data_tools.envs import env_rows
from data_tools.envs import games
from data_tools.envs import starts as starts_lib
from data_tools.envs import vector_env
from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.records import episodes
from experiments.dreaming import fields
from experiments.dreaming import models
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.runs import shipped
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import dream_env
from pokedreamer_jax.behaviour import dream_play


def open_model(
  model: str | os.PathLike | models.Model, rom: str | os.PathLike | None = None
) -> tuple[models.Model, roms.Rom]:
  """A model and the game that it dreams.

  Args:
    model: a run directory of a world model or a policy, the folder of an
      exported one, the name of one that comes with the package, or itself.
    rom: the game; None for the practice cartridge that it was trained on.

  Raises:
    ValueError: there is none, it cannot be played, or it is of another game.
  """
  if isinstance(model, models.Model):
    return model, roms.resolve(rom)
  directory = str(model)
  agent = run_directory.read_stage(directory) != "world_model"
  world_model, policy = (None, directory) if agent else (directory, None)
  models.check(world_model, policy)
  if rom is None:
    sha1s = run_directory.read_config(directory).get("roms") or []
    known = {found.sha1: found for found in map(roms.resolve, roms.CARTRIDGES)}
    found = next((known[sha1] for sha1 in sha1s if sha1 in known), None)
    if found is None:
      raise ValueError(
        f"rom: None, and {directory} was trained on {sha1s}, no practice "
        "cartridge; expected its file"
      )
  else:
    found = roms.resolve(rom)
  inputs.check_rom(directory, found)
  return models.load(world_model, policy), found


class Games:
  """`N` dreams in lock-step: `data_tools.envs.vector.VectorEmulator` of dreams.

  One compiled program takes a step of all of them, and another one, where an
  episode begins, reads the first rows of these.
  """

  def __init__(
    self,
    model: models.Model,
    rom: roms.Rom,
    num_envs: int,
    episode_length: int,
    jitter_frames: int,
    likely: bool = False,
  ):
    """Loads parameters to the device; compiles at the first reset and step.

    Raises:
      ValueError: a number is too small.
    """
    import jax
    import jax.numpy as jnp

    if num_envs < 1:
      raise ValueError(f"num_envs: {num_envs}, expected at least 1")
    self._jax, self._model, self._rom = jax, model, rom
    self._length, self._jitter = episode_length, jitter_frames
    self._count = num_envs
    self._emulator: emulator_lib.Emulator | None = None
    self._row: dict[str, np.ndarray] | None = None
    cfg = model.config
    self._sizes = cfg.world_model.token_sizes
    see = dream_env.Env(cfg, likely=likely)

    def begin(world, seed, frame, ram, fresh, before):
      # Each alone, so that its luck does not hang on who begins beside it.
      one = lambda seed, frame, ram: jax.tree.map(
        lambda leaf: leaf[0],
        dream_env.begin(
          cfg,
          world,
          jax.random.key(seed),
          frame[None],
          {name: value[None] for name, value in ram.items()},
        ),
      )
      made = jax.vmap(one)(seed, frame, ram)
      state = jax.tree.map(functools.partial(_where, fresh), made, before)
      return state, look(world, state)

    def look(world, state):
      params = dream_env.EnvParams(world, state)
      frame = jax.vmap(lambda one: see.observe(one, params))(state)
      return frame, _numbers(self._sizes, state.model.tokens)

    def step(world, seed, state, action, moves):
      def one(seed, state, action):
        key = jax.random.fold_in(jax.random.key(seed), state.time + 1)
        return dream_env.advance(cfg, world, key, state, action, likely)

      after, arrival = jax.vmap(one)(seed, state, action)
      after = jax.tree.map(functools.partial(_where, moves), after, state)
      return after, look(world, after), arrival

    # Compiled in two thirds of the time, and as quick (on a CPU).
    options = {"xla_backend_optimization_level": 1}
    on_cpu = jax.default_backend() == "cpu"
    jit = functools.partial(
      jax.jit, compiler_options=options if on_cpu else None
    )
    self._begin, self._step = jit(begin), jit(step)
    self._world = jax.device_put(model.params.world, jax.devices()[0])
    blank = dream_play.nobody(cfg.world_model, num_envs)
    self._state = dream_env.EnvState(
      blank.dream,
      blank.progress,
      blank.earned,
      jnp.zeros(num_envs, jnp.int32),
      jnp.zeros(num_envs, bool),
    )
    self._seeds = np.zeros(num_envs, np.uint32)
    self._first = self._blank_rows()

  def reset(
    self, seeds: Sequence[int | None], save_state: bytes | None = None
  ) -> dict[str, np.ndarray]:
    """Begins an episode where there is a seed; step fields `[N, ...]`.

    Raises:
      ValueError: a state that does not fit.
    """
    fresh = np.array([seed is not None for seed in seeds])
    for i, seed in enumerate(seeds):
      if seed is not None:
        self._seeds[i] = int(seed) % (1 << 32)
        row = self._first_row(int(seed), save_state)
        for name, value in row.items():
          self._first[name][i] = value[0]
    ram = dream_play.ram_of(self._model.config.world_model, self._first)
    self._state, looks = self._begin(
      self._world, self._seeds, self._first["frame"], ram, fresh, self._state
    )
    row = self._rows(looks)
    if self._row is not None:  # the others stay at their last row
      for name in row:
        row[name][~fresh] = self._row[name][~fresh]
    # What really began is known: a title screen runs no game.
    row["game_running"][fresh] = self._first["game_running"][fresh]
    row["is_first"][fresh] = True
    self._row = row
    return {name: value.copy() for name, value in row.items()}

  def step(
    self,
    actions: np.ndarray,
    reset_seeds: Sequence[int | None] | None = None,
    save_state: bytes | None = None,
  ) -> dict[str, np.ndarray]:
    """Steps every dream that has not ended; those with a seed begin instead.

    Raises:
      ValueError: not one action for each, or no reset came before.
    """
    chosen = np.asarray(actions)
    if (
      not np.issubdtype(chosen.dtype, np.integer)
      or chosen.shape != (self._count,)
      or not ((chosen >= 0) & (chosen < specs.NUM_ACTIONS)).all()
    ):
      raise ValueError(
        f"actions: {chosen.dtype}{list(chosen.shape)}, expected {self._count} "
        f"whole numbers in 0..{specs.NUM_ACTIONS - 1}"
      )
    if self._row is None:
      raise ValueError("step before the first reset")
    seeds = reset_seeds or [None] * self._count
    fresh = np.array([seed is not None for seed in seeds])
    ended, before = self._row["is_last"].copy(), self._row
    moves = ~ended & ~fresh
    self._state, looks, arrival = self._step(
      self._world, self._seeds, self._state, chosen.astype(np.int32), moves
    )
    row = self._rows(looks)
    terms, cont = self._jax.device_get((arrival.terms, arrival.cont))
    row["reward_terms"][:] = np.where(moves[:, None], terms, 0.0)
    row["is_terminal"][:] = moves & (cont < dream_env.ENDS_BELOW)
    late = np.asarray(self._state.time) >= self._length - 1
    row["is_last"][:] = moves & (row["is_terminal"] | late)
    row["hall_of_fame"][:] = row["is_terminal"]
    for name in row:  # without reward
      if name != "reward_terms":
        row[name][ended] = before[name][ended]
    self._row = row
    if fresh.any():
      return self.reset(seeds, save_state)
    return {name: value.copy() for name, value in row.items()}

  def close(self) -> None:
    """Ends the emulator that episodes begin in."""
    if self._emulator is not None:
      self._emulator.close()
      self._emulator = None

  def _rows(self, looks: Any) -> dict[str, np.ndarray]:
    frame, numbers = self._jax.device_get(looks)
    row = fields.read(self._sizes, numbers)
    row["frame"][:] = frame
    row["action"][:] = specs.PASS
    row["behaviour"][:] = specs.BEHAVIOURS.index("none")
    return row

  def _blank_rows(self) -> dict[str, np.ndarray]:
    return specs.empty_steps(self._count)

  def _first_row(
    self, seed: int, save_state: bytes | None
  ) -> dict[str, np.ndarray]:
    if self._emulator is None:
      self._emulator = emulator_lib.Emulator(self._rom)
    self._emulator.reset(seed, save_state, self._jitter)
    reader = episodes.RowReader(self._rom)
    return reader.read(self._emulator.frame()[None], self._emulator.ram()[None])


def _where(mask: Any, then: Any, otherwise: Any) -> Any:
  import jax.numpy as jnp

  return jnp.where(mask.reshape(-1, *(1,) * (then.ndim - 1)), then, otherwise)


def _numbers(sizes: Any, hot: Any) -> Any:
  from pokedreamer_jax.world_model import tokens

  return tokens.numbers(sizes, hot)


class DreamEnv(env.PokeDreamerEnv):
  """One dream; see `data_tools.envs.env.PokeDreamerEnv` for all but this.

  `info["state"]` holds what the model's tokens tell, and zero for the fields
  in `unknown_fields`. The reward is of the terms that the model expects, so
  that wins and points come in fractions. The game is over where it believes
  so.
  """

  def __init__(
    self,
    model: str | os.PathLike | models.Model = shipped.DEFAULT,
    rom: str | os.PathLike | None = None,
    render_mode: str | None = None,
    observation: str = "rgb",
    reward: env_rows.Reward = "published",
    episode_length: int = 512,
    jitter_frames: int = 60,
    save_state: starts_lib.Start = starts_lib.DEFAULT,
    likely: bool = False,
  ):
    """Loads the model.

    Args:
      model: and `rom` as for `open_model`.
      rom: see there.
      render_mode: this and the following as for the emulator's environment.
      observation: see there.
      reward: see there.
      episode_length: see there.
      jitter_frames: see there.
      save_state: see there.
      likely: what is most likely happens, instead of a sample.

    Raises:
      ValueError: a bad argument, no such model, or a state of another ROM.
    """
    opened, self.settings, start = _open(
      *(model, rom, render_mode, observation, reward),
      *(episode_length, jitter_frames, save_state),
    )
    self.render_mode = render_mode
    self.action_space = gymnasium.spaces.Discrete(specs.NUM_ACTIONS)
    self.observation_space = games.observation_space(observation)
    self.unknown_fields = fields.unknown(opened.config.world_model.token_sizes)
    self._save_state = start
    self._games: Games | None = Games(
      *(opened, self.settings.rom, 1, episode_length, jitter_frames, likely)
    )
    self._row: dict[str, np.ndarray] | None = None
    self._left = 0

  def reset(
    self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[np.ndarray, dict[str, Any]]:
    """Starts an episode; arguments and errors as in the emulator's."""
    gymnasium.Env.reset(self, seed=seed)
    start = games.start_of(options, self._save_state, self.settings.rom)
    if seed is None:
      seed = env_rows.draw_seed(self.np_random)
    row = self._dreams().reset([seed], start)
    self._rewards = env_rows.rewards(self.settings, 1)
    observation, _, _, _, info = self._see(row)
    return observation, info

  def step(
    self, action: Any
  ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
    """Takes one step; arguments and errors as in the emulator's."""
    if not self.action_space.contains(action):
      raise ValueError(
        f"action: {action!r}, expected 0 to {specs.NUM_ACTIONS - 1}"
      )
    dreams = self._dreams()
    if self._row is None or self._row["is_last"][0]:
      raise ValueError("step after the end of an episode: call reset")
    return self._see(dreams.step(np.array([int(action)])))

  def close(self) -> None:
    """Forgets the dream; may be called again."""
    if self._games is not None:
      self._games.close()
    self._games = None

  def _dreams(self) -> Games:
    if self._games is None:
      raise ValueError("the environment is closed")
    return self._games

  def _see(
    self, row: dict[str, np.ndarray]
  ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
    self._row = row
    terminated = bool(row["is_terminal"][0])
    observation = env_rows.observe(self.settings.observation, row["frame"])[0]
    reward = float(self._rewards.weigh(row)[0])
    info = env_rows.info(row, self.settings.rom.map_names)
    ended = bool(row["is_last"][0])
    return observation, reward, terminated, ended and not terminated, info


class DreamVectorEnv(vector_env.VectorEnv):
  """`N` dreams, a step of all in one call of one program."""

  def __init__(
    self,
    num_envs: int = 1,
    model: str | os.PathLike | models.Model = shipped.DEFAULT,
    rom: str | os.PathLike | None = None,
    render_mode: str | None = None,
    observation: str = "rgb",
    reward: env_rows.Reward = "published",
    episode_length: int = 512,
    jitter_frames: int = 60,
    save_state: starts_lib.Start = starts_lib.DEFAULT,
    likely: bool = False,
  ):
    """Loads the model; arguments and errors as of `DreamEnv`."""
    opened, self.settings, start = _open(
      *(model, rom, render_mode, observation, reward),
      *(episode_length, jitter_frames, save_state),
    )
    self.num_envs = num_envs
    self.render_mode = render_mode
    self.single_observation_space = games.observation_space(observation)
    self.single_action_space = gymnasium.spaces.Discrete(specs.NUM_ACTIONS)
    self.unknown_fields = fields.unknown(opened.config.world_model.token_sizes)
    self._save_state = start
    dreams: Any = Games(
      *(opened, self.settings.rom, num_envs),
      *(episode_length, jitter_frames, likely),
    )
    self._emulators = dreams  # it asks the same of them
    batch = gymnasium_vector.utils.batch_space
    self.observation_space = batch(self.single_observation_space, num_envs)
    self.action_space = batch(self.single_action_space, num_envs)
    self._rngs = [seeding.np_random(None)[0] for _ in range(num_envs)]
    self._rewards = env_rows.rewards(self.settings, num_envs)
    self._ended = np.zeros(num_envs, bool)
    self._row: dict[str, np.ndarray] | None = None


def _open(
  model: Any,
  rom: Any,
  render_mode: str | None,
  observation: str,
  reward: env_rows.Reward,
  episode_length: int,
  jitter_frames: int,
  save_state: Any,
) -> tuple[models.Model, env_rows.Settings, bytes | None]:
  """The model, settings that were looked at, and the start state."""
  if render_mode not in (None, "rgb_array"):
    raise ValueError(f"render_mode: {render_mode!r}, expected 'rgb_array'")
  opened, found = open_model(model, rom)
  settings = env_rows.Settings(
    found, observation, reward, episode_length, jitter_frames
  )
  return opened, settings, starts_lib.read(save_state, found)


def starts(
  model: models.Model,
  rom: roms.Rom,
  seeds: Sequence[int],
  save_state: starts_lib.Start = starts_lib.DEFAULT,
  jitter_frames: int = 60,
) -> dream_env.EnvState:
  """Where games of these seeds begin, for `dream_env.EnvParams`.

  Args:
    model: and `rom` as of `open_model`.
    rom: see there.
    seeds: one a start.
    save_state: as of the environments, in the game by default.
    jitter_frames: most frames without input, drawn by seed.

  Returns:
    Leaves `[K, ...]`, one start a seed.
  """
  begun = Games(model, rom, len(seeds), 2, jitter_frames)
  begun.reset(list(seeds), starts_lib.read(save_state, rom))
  begun.close()
  return begun._state
