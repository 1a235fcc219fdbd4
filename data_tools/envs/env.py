"""One game as a Gymnasium environment; `data_tools.env` is the door."""

import os
from typing import Any

import gymnasium
import numpy as np

from data_tools.envs import env_rows
from data_tools.envs import games
from data_tools.envs import starts
from data_tools.game import emulator as emulator_lib
from data_tools.records import episodes
from pokedreamer_jax import specs


class PokeDreamerEnv(gymnasium.Env[np.ndarray, np.int64]):
  """One Game Boy; an action is one agent step of 24 frames.

  Observations are frames: `rgb` `[144, 160, 3]`, `grey` `[144, 160, 1]`, or
  `packed` `[144, 40]` as the project's own models read them, all uint8.
  Actions are indices into `specs.ACTIONS`. `terminated` says that the game is
  beaten, `truncated` that the time is over; never both. `info` holds `state`,
  the fields of `game_state.GameState` and its derived numbers, and
  `reward_terms`, unweighted; both can be written as JSON.

  The same seed, start state and actions give the same episode, here as in
  `data_tools.records.episodes`: rows and rewards are those of a recording.
  """

  metadata: dict[str, Any] = {  # noqa: RUF012
    "render_modes": ["rgb_array"],
    "render_fps": env_rows.STEPS_PER_S,
  }

  def __init__(
    self,
    game: str = "practice_small",
    rom: str | os.PathLike | None = None,
    render_mode: str | None = None,
    observation: str = "rgb",
    reward: env_rows.Reward = "published",
    episode_length: int = 512,
    jitter_frames: int = 60,
    save_state: starts.Start = starts.DEFAULT,
  ):
    """Starts the emulator.

    Args:
      game: a name in `games.GAMES`.
      rom: the ROM file of `pokemon_red`.
      render_mode: None or "rgb_array".
      observation: "rgb", "grey" or "packed".
      reward: "published", "capped" or "progress", see `specs.REWARD_WEIGHTS`;
        or weights by name, of `specs.REWARD_TERMS` and `level`, others 0; or a
        function `(before, info) -> reward` of the infos of two rows.
      episode_length: rows until truncation, the first one included.
      jitter_frames: most frames without input after a reset, drawn by seed.
      save_state: where episodes start: "game", the first free step;
        "power_on" or None, the title screen; the file of a state, its bytes,
        or `<world>/<name>` of one that comes with the project. By default the
        game on the practice cartridges, power-on elsewhere.

    Raises:
      ValueError: a bad argument, no such ROM, or a state of another ROM.
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
    self.render_mode = render_mode
    self.action_space = gymnasium.spaces.Discrete(specs.NUM_ACTIONS)
    self.observation_space = games.observation_space(observation)
    self._save_state = starts.read(save_state, settings.rom)
    self._emulator: emulator_lib.Emulator | None = emulator_lib.Emulator(
      settings.rom
    )
    self._row: dict[str, np.ndarray] | None = None
    self._left = 0  # rows until truncation

  def reset(
    self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[np.ndarray, dict[str, Any]]:
    """Starts an episode.

    Args:
      seed: of the episode as in `data_tools.records.episodes`; None draws one.
      options: `save_state` starts this one episode elsewhere.

    Raises:
      ValueError: an unknown option, or a state that does not fit.
    """
    super().reset(seed=seed)
    save_state = games.start_of(options, self._save_state, self.settings.rom)
    if seed is None:
      seed = env_rows.draw_seed(self.np_random)
    emulator = self._running()
    emulator.reset(seed, save_state, self.settings.jitter_frames)
    self._reader = episodes.RowReader(self.settings.rom)
    self._rewards = env_rows.rewards(self.settings, 1)
    self._left = self.settings.episode_length
    observation, _, _, _, info = self._arrive()
    return observation, info

  def step(
    self, action: Any
  ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
    """Takes one agent step.

    Raises:
      ValueError: no such action, or the episode has ended.
    """
    if not self.action_space.contains(action):
      raise ValueError(
        f"action: {action!r}, expected 0 to {specs.NUM_ACTIONS - 1}"
      )
    emulator = self._running()
    if self._left == 0:
      raise ValueError("step after the end of an episode: call reset")
    emulator.step(int(action))
    return self._arrive()

  def render(self) -> np.ndarray | None:
    """The screen `[144, 160, 3]` uint8 of the last row.

    Raises:
      ValueError: no reset came before.
    """
    if self.render_mode is None:
      return None
    if self._row is None:
      raise ValueError("render before the first reset")
    return env_rows.observe("rgb", self._row["frame"])[0]

  def close(self) -> None:
    """Ends the emulator; may be called again, and need not be."""
    if self._emulator is not None:
      self._emulator.close()
    self._emulator = None

  def _running(self) -> emulator_lib.Emulator:
    if self._emulator is None:
      raise ValueError("the environment is closed")
    return self._emulator

  def _arrive(self) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
    """Reads the row that the emulator has come to."""
    emulator = self._running()
    row = self._reader.read(emulator.frame()[None], emulator.ram()[None])
    self._row = row
    self._left -= 1
    terminated = bool(row["is_terminal"][0])
    truncated = self._left == 0 and not terminated
    if terminated:
      self._left = 0
    observation = env_rows.observe(self.settings.observation, row["frame"])[0]
    reward = float(self._rewards.weigh(row)[0])
    info = env_rows.info(row, self.settings.rom.map_names)
    return observation, reward, terminated, truncated, info
