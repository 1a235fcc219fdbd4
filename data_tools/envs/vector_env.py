"""Many games as one Gymnasium vector environment, over processes.

Rows come from `data_tools.envs.vector`: frames lie in memory that the processes
share, nothing is pickled per step. Episodes are those of single environments
with the same seeds, step by step, those after an automatic reset included.
"""

from collections.abc import Sequence
import os
from typing import Any

import gymnasium
from gymnasium import vector as gymnasium_vector
from gymnasium.utils import seeding
import numpy as np

from data_tools.envs import env_rows
from data_tools.envs import games
from data_tools.envs import starts
from data_tools.envs import vector
from data_tools.system import processors
from pokedreamer_jax import specs

_RESET_MASK = "reset_mask"  # Gymnasium's option: which environments to reset


class VectorEnv(gymnasium_vector.VectorEnv):
  """`N` games in lock-step; see `env.PokeDreamerEnv` for one of them.

  Gymnasium's next-step rule holds: in the step after an episode has ended,
  the environment ignores its action and returns the first row of another
  episode, without reward.
  """

  metadata: dict[str, Any] = {  # noqa: RUF012
    "render_modes": ["rgb_array"],
    "render_fps": env_rows.STEPS_PER_S,
    "autoreset_mode": gymnasium_vector.AutoresetMode.NEXT_STEP,
  }

  def __init__(
    self,
    num_envs: int = 1,
    game: str = "practice_small",
    rom: str | os.PathLike | None = None,
    render_mode: str | None = None,
    observation: str = "rgb",
    reward: env_rows.Reward = "published",
    episode_length: int = 512,
    jitter_frames: int = 60,
    save_state: starts.Start = starts.DEFAULT,
    num_workers: int | None = None,
  ):
    """Starts the processes.

    Args:
      num_envs: environments `N`.
      game: this and the following as for `env.PokeDreamerEnv`.
      rom: see there.
      render_mode: see there.
      observation: see there.
      reward: see there.
      episode_length: see there.
      jitter_frames: see there.
      save_state: see there.
      num_workers: processes to spread them over; None for one a CPU that
        this process may use.

    Raises:
      ValueError: as for `env.PokeDreamerEnv`, or a number is too small.
    """
    settings = env_rows.Settings(
      games.find_rom(game, rom),
      observation,
      reward,
      episode_length,
      jitter_frames,
    )
    if render_mode not in (None, "rgb_array"):
      raise ValueError(f"render_mode: {render_mode!r}, expected 'rgb_array'")
    self.settings = settings
    self.num_envs = num_envs
    self.render_mode = render_mode
    self.single_observation_space = games.observation_space(observation)
    self.single_action_space = gymnasium.spaces.Discrete(specs.NUM_ACTIONS)
    self._save_state = starts.read(save_state, settings.rom)
    self._emulators = vector.VectorEmulator(
      settings.rom,
      num_envs,
      processors.available() if num_workers is None else num_workers,
      episode_length,
      jitter_frames,
    )
    batch = gymnasium_vector.utils.batch_space
    self.observation_space = batch(self.single_observation_space, num_envs)
    self.action_space = batch(self.single_action_space, num_envs)
    self._rngs = [seeding.np_random(None)[0] for _ in range(num_envs)]
    self._rewards = env_rows.rewards(settings, num_envs)
    self._ended = np.zeros(num_envs, bool)
    self._row: dict[str, np.ndarray] | None = None

  def reset(
    self,
    *,
    seed: int | Sequence[int | None] | None = None,
    options: dict[str, Any] | None = None,
  ) -> tuple[np.ndarray, dict[str, Any]]:
    """Starts an episode in every environment.

    Args:
      seed: a number `s` for `s, s + 1, ...`, or one for each; None draws.
      options: `reset_mask` `[N]` bool chooses the environments to reset;
        `save_state` starts these elsewhere.

    Raises:
      ValueError: not one seed for each, or bad options.
    """
    options = dict(options or {})
    mask = self._mask(options.pop(_RESET_MASK, None))
    start = games.start_of(options, self._save_state, self.settings.rom)
    if seed is None or isinstance(seed, int | np.integer):
      first = None if seed is None else int(seed)
      seed = [None if first is None else first + i for i in range(len(mask))]
    if len(seed) != self.num_envs:
      raise ValueError(f"{len(seed)} seeds for {self.num_envs} environments")
    for i in np.flatnonzero(mask).tolist():
      if (number := seed[i]) is not None:
        self._rngs[i] = seeding.np_random(number)[0]
    seeds = [
      self._seed(i, seed[i]) if mask[i] else None for i in range(len(mask))
    ]
    row = self._emulators.reset(seeds, start)
    self._rewards.restart(mask)
    # Those that stay where they are were paid for their rows already.
    terms = np.where(mask[:, None], row["reward_terms"], np.float32(0))
    self._rewards.weigh(row | {"reward_terms": terms})
    self._row = row
    self._ended &= ~mask
    return self._observe(row), self._infos(row, mask)

  def step(
    self, actions: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """Takes one agent step in every environment.

    Raises:
      ValueError: not one action for each.
    """
    restart = self._ended
    seeds = [self._seed(i) if restart[i] else None for i in range(len(restart))]
    row = self._emulators.step(np.asarray(actions), seeds, self._save_state)
    self._rewards.restart(restart)
    rewards = self._rewards.weigh(row).astype(np.float64)
    terminated = row["is_terminal"]
    truncated = row["is_last"] & ~terminated
    self._row = row
    self._ended = row["is_last"].copy()
    everywhere = np.ones(self.num_envs, bool)
    infos = self._infos(row, everywhere)
    return self._observe(row), rewards, terminated, truncated, infos

  def render(self) -> tuple[np.ndarray, ...] | None:
    """The screens of the last rows, `N` times `[144, 160, 3]` uint8.

    Raises:
      ValueError: no reset came before.
    """
    if self.render_mode is None:
      return None
    if self._row is None:
      raise ValueError("render before the first reset")
    return tuple(env_rows.observe("rgb", self._row["frame"]))

  def close_extras(self, **kwargs: Any) -> None:
    """Ends the processes."""
    self._emulators.close()

  def _mask(self, given: Any) -> np.ndarray:
    if given is None:
      return np.ones(self.num_envs, bool)
    mask = np.asarray(given)
    if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
      raise ValueError(
        f"{_RESET_MASK}: {mask.dtype}{list(mask.shape)}, expected "
        f"bool[{self.num_envs}] with at least one True"
      )
    return mask

  def _seed(self, i: int, given: int | None = None) -> int:
    return env_rows.draw_seed(self._rngs[i]) if given is None else given

  def _observe(self, row: dict[str, np.ndarray]) -> np.ndarray:
    return env_rows.observe(self.settings.observation, row["frame"])

  def _infos(
    self, row: dict[str, np.ndarray], which: np.ndarray
  ) -> dict[str, Any]:
    return env_rows.infos(row, self.settings.rom.map_names, which)
