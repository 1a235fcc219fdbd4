"""Makes the start states of a full world: the demonstrator plays there.

  python -m data_tools.players.make_states

plays from power-on, without noise, and saves the machine at the moments that
`[[states]]` of the world's tables name. Memory is only read. Run it again
after every change of the ROM: states belong to one ROM and one emulator. The
frames of all moments go into `great_vale_states.png`.
"""

import argparse
from collections.abc import Iterator
import sys
from typing import Any

import numpy as np

from data_tools import cartridge
from data_tools.cartridge import atlas
from data_tools.game import emulator
from data_tools.game import frame_codec
from data_tools.game import game_state
from data_tools.game import ram_addresses as ram
from data_tools.game import roms
from data_tools.game import save_states
from data_tools.game import start_states
from data_tools.players import demonstrator_small

WORLD = "great_vale"
MOST_STEPS = 15_000
_COLUMNS = 5  # frames beside each other in the picture


def is_moment(facts: dict[str, Any], when: str, memory: Any) -> bool:
  """Whether `when` holds now, with the player able to walk."""
  state = game_state.from_memory(memory)
  if not (state.game_running and state.has_control) or state.hall_of_fame:
    return False
  kind, _, name = when.partition(":")
  if kind == "map":
    number = next(p["id"] for p in facts["maps"] if p["name"] == name)
    return state.map_id == number
  if kind == "badge":
    return state.badge_count >= int(name)
  if kind == "event":
    flag = facts["events"][name]
    return bool(memory[ram.EVENT_FLAGS + flag // 8] >> (flag % 8) & 1)
  return kind == "start"


def moments(
  rom: roms.Rom, facts: dict[str, Any], seed: int
) -> Iterator[tuple[save_states.Stamp, bytes, np.ndarray]]:
  """Plays one game; yields each named moment as it comes.

  With it come the state of the machine and the frame `[144, 160]` in shades.
  """
  waiting = {entry["name"]: entry["when"] for entry in facts["states"]}
  player = demonstrator_small.make(rom.sha1)
  player.reset(np.random.default_rng(seed))
  with emulator.Emulator(rom) as game:
    game.reset(seed)
    for step in range(1, MOST_STEPS + 1):
      game.step(player.act(game.memory))
      if game.memory[ram.HALL_OF_FAME]:
        return
      for name, when in list(waiting.items()):
        if is_moment(facts, when, game.memory):
          del waiting[name]
          data = game.save_state()
          stamp = save_states.Stamp(
            name=name,
            rom_sha1=rom.sha1,
            pyboy_version=emulator.pyboy_version(),
            state_sha1=save_states.sha1(data),
            made_by={
              "player": "demonstrator",
              "seed": seed,
              "when": when,
              "step": step,
            },
          )
          yield stamp, data, frame_codec.unpack(game.frame())


def sheet(names: list[str], frames: list[np.ndarray]) -> np.ndarray:
  """All frames with their names above, in shades."""
  blocks = []
  for name, frame in zip(names, frames, strict=True):
    label = np.zeros((10, frame.shape[1]), np.uint8)
    words = atlas.text(name.upper().replace("_", " "))
    label[1:9, : words.shape[1]] = words
    blocks.append(np.pad(np.vstack([label, frame]), 3, constant_values=1))
  while len(blocks) % _COLUMNS:
    blocks.append(np.ones_like(blocks[0]))
  return np.vstack(
    [
      np.hstack(blocks[i : i + _COLUMNS])
      for i in range(0, len(blocks), _COLUMNS)
    ]
  )


def main() -> int:
  """Command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--seed", type=int, default=0, help="of the player")
  seed = parser.parse_args().seed
  rom = roms.resolve(str(cartridge.GREAT_VALE))
  facts = cartridge.facts(rom.sha1)
  if facts is None:
    print(f"make_states: {rom.describe()}: no facts of this ROM")
    return 2
  found = list(moments(rom, facts, seed))
  missing = {entry["name"] for entry in facts["states"]}
  missing -= {state.name for state, _, _ in found}
  if missing:
    print(f"make_states: never came: {sorted(missing)}")
    return 1
  for old in (start_states.FOLDER / WORLD).glob("*.state.*"):
    old.unlink()
  for stamp, data, _ in found:
    save_states.write(start_states.FOLDER / WORLD, stamp, data)
    made = stamp.made_by
    print(f"{made['step']:6d}  {stamp.name} ({made['when']})")
  picture = sheet(
    [stamp.name for stamp, _, _ in found], [frame for _, _, frame in found]
  )
  atlas.save(picture, atlas.FOLDER / f"{WORLD}_states.png")
  return 0


if __name__ == "__main__":
  sys.exit(main())
