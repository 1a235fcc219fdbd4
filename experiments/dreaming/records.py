"""Recorded episodes as places to begin at.

A recorded row is entered by playing its episode again, the model looking on: so
the emulator stands where it stood, and the model remembers what it would have
seen. What a page asks for are numbers of episodes and rows; it names no file.
"""

from collections.abc import Mapping
import dataclasses
import os
import threading
from typing import Any

import numpy as np

from data_tools.game import emulator as emulator_lib
from data_tools.game import roms
from data_tools.game import start_states
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import replay
from experiments.dreaming import game as game_lib

_FIELDS = ("frame", "action")


@dataclasses.dataclass(frozen=True)
class Course:
  """An episode up to a row."""

  start: game_lib.Start
  save_state: bytes | None  # where it begins; None is power-on
  action: np.ndarray  # [T], all that were recorded
  frame: np.ndarray  # [row + 1, 144, 40] packed
  name: str  # of the moment, for people


class Records:
  """The episodes of one generation that can be entered.

  Attributes:
    left_out: how many cannot, and why, or "".
  """

  def __init__(
    self, generation: generations.Generation, rom: roms.Rom, jitter_frames: int
  ):
    """Reads the list alone.

    Args:
      generation: the one that the model was trained on.
      rom: the game.
      jitter_frames: at most, as the episodes were recorded.

    Raises:
      ValueError: none can be entered.
    """
    self._rom, self._jitter = rom, jitter_frames
    self._index = loader.EpisodeIndex(generation, "all")
    held_out = {
      header.episode_id
      for header in loader.EpisodeIndex(generation, "val").headers
    }
    self._lock = threading.Lock()  # readers are not of one thread
    self._places: list[int] = []
    why = ""
    for place, header in enumerate(self._index.headers):
      remark = self._obstacle(header)
      why = why or remark
      if not remark:
        self._places.append(place)
    if not self._places:
      raise ValueError(
        f"--data_dir={generation.data_dir}: no episode can be entered: {why}"
      )
    self._held_out = [
      self._index.headers[place].episode_id in held_out
      for place in self._places
    ]
    out = len(self._index) - len(self._places)
    self.left_out = (
      f"{out} of {len(self._index)} episodes: {why}" if out else ""
    )

  def __len__(self) -> int:
    return len(self._places)

  def told(self) -> list[dict[str, Any]]:
    """What a page lists: who played, how many rows, and if it is held out."""
    return [
      {
        "behaviour": self._index.headers[place].behaviour,
        "rows": int(self._index.lengths[place]),
        "held_out": held_out,
      }
      for place, held_out in zip(self._places, self._held_out, strict=True)
    ]

  def picture(self, episode: int, row: int) -> np.ndarray:
    """The packed frame `[144, 40]` of a row.

    Raises:
      ValueError: there is no such row.
    """
    place = self._place(episode, row)
    return self._read(place, row, row + 1)["frame"][0]

  def course(self, episode: int, row: int) -> Course:
    """How a row was reached.

    Raises:
      ValueError: there is no such row, or its start state is damaged.
    """
    place = self._place(episode, row)
    header = self._index.headers[place]
    save_state = self._start(header)
    name = ""
    if header.start_state_sha1:
      name = self._name(header) or f"records:{header.start_state_sha1[:12]}"
    length = int(self._index.lengths[place])
    rows = self._read(place, 0, length)
    return Course(
      game_lib.Start(name, header.seed, self._jitter),
      save_state,
      rows["action"],
      rows["frame"][: row + 1],
      f"episode {episode + 1}, row {row}",
    )

  def _obstacle(self, header: Any) -> str:
    """Why an episode cannot be entered, or ""."""
    drawn = emulator_lib.drawn_jitter(header.seed, self._jitter)
    if header.jitter_frames != drawn:
      return f"recorded with another jitter than {self._jitter} frames"
    try:
      replay.check_header(self._rom, header, self._start(header))
    except ValueError as error:
      return str(error)
    return ""

  def _start(self, header: Any) -> bytes | None:
    return replay.find_start(header, self._index.generation.data_dir)

  def _name(self, header: Any) -> str:
    """The name of a start state that comes with the game, or ""."""
    for name in start_states.names(header.rom_sha1):
      state = emulator_lib.read_save_state(name)
      if emulator_lib.state_sha1(state) == header.start_state_sha1:
        return name
    return ""

  def _place(self, episode: int, row: int) -> int:
    if not 0 <= episode < len(self._places):
      raise ValueError(
        f"episode: {episode}, expected 0..{len(self._places) - 1}"
      )
    place = self._places[episode]
    length = int(self._index.lengths[place])
    if not 0 <= row < length:
      raise ValueError(f"row: {row}, expected 0..{length - 1}")
    return place

  def _read(self, place: int, start: int, stop: int) -> Mapping[str, Any]:
    with self._lock:
      return self._index.read(place, start, stop, _FIELDS)


def open_records(
  data_dir: str | os.PathLike, directory: str, rom: roms.Rom, jitter: int
) -> Records:
  """The records of a model; arguments and errors as of `Records`.

  Args:
    data_dir: where they lie.
    directory: run directory of the model.
    rom: the game.
    jitter: frames at most.
  """
  import pathlib

  from experiments.runs import inputs

  generation = inputs.open_generation(str(data_dir), pathlib.Path(directory))
  return Records(generation, rom, jitter)
