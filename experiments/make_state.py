"""Makes named start states for any ROM: by a script of inputs, or by play.

    python -m experiments.make_state --script=chapter_one_start --name=start
    python -m experiments.make_state --policy=demonstrator \\
      --until="party_size >= 2 and has_control" --name=first_catch
    python -m experiments.make_state --name=mine \\
      --inputs=demos/logs/00000.inputs

Writes NAME.state.xz and its stamp NAME.state.json (ROM, emulator version, how
it was made) to --out_dir. --save_state of the other commands takes the state
and refuses it for another ROM or emulator version. --save_state here goes on
from an earlier one. --inputs plays what a person played in record_demos: to its
end, or until --until holds; a recording that began at a state needs that state.

A script is a text file with one command a line; # starts a comment:

    press a 3                    three agent steps (24 frames) with the button
    wait 30                      30 steps without input
    walk up 3                    three tiles; an error where blocked
    until has_control            waits; "within 200" limits the steps
    press b every 2 until not dialog_open
    save before_gym              one of several states of this name

Without a save line, the end of the script is saved as --name. Conditions are
names of the game state, compared with numbers or words and joined by "and":
map_id, map_name, x, y, in_battle, badge_count, party_size, has_control,
game_running, cursor_shown, ...; 0xC000 reads a byte. A game whose memory is
not known has bytes only.

Scripts that come with the project: chapter_one_start, and pokemon_red_intro
through the intro of Pokemon Red to the first free step. THE LATTER WAS WRITTEN
FROM PUBLIC FACTS AND HAS NEVER RUN ON THE REAL ROM: should it fail, it says on
which line; copy it, mend it, and give the copy as --script.
"""

from collections.abc import Callable
from typing import Any

from experiments.runs import cli

_ROM = cli.define_rom()
_SAVE_STATE = cli.string("save_state", None, "Start; default: power-on.")
_OUT_DIR = cli.string("out_dir", "states", "Where the states go.")
_NAME = cli.string("name", None, "Name of the state.")
_SCRIPT = cli.string("script", None, "A script file, or a name from above.")
_POLICY = cli.string("policy", None, "Plays instead of a script.")
_INPUTS = cli.string("inputs", None, "A log of record_demos to play.")
_UNTIL = cli.string(
  "until", None, "Condition that ends --policy, or --inputs early."
)
_MOST_STEPS = cli.integer(
  "most_steps", 20_000, "Gives up after so many steps of --policy."
)
_SEED = cli.integer("seed", 0, "Of the chance of --policy.")


def main() -> None:
  """Plays, and saves what was asked for."""
  from data_tools.game import conditions
  from data_tools.game import emulator as emulator_lib
  from data_tools.game import input_scripts
  from data_tools.game import roms
  from data_tools.game import save_states
  from data_tools.players import policies
  from data_tools.records import episodes
  from experiments.playing import demo_store

  if sum(map(bool, (_SCRIPT.value, _POLICY.value, _INPUTS.value))) != 1:
    raise ValueError("give one of --script and --policy, or --inputs")
  rom = roms.resolve(_ROM.value)
  start = emulator_lib.read_save_state(_SAVE_STATE.value, rom)
  script, player, jitter_frames = None, None, 0
  made_by: dict[str, Any] = {"start_state_sha1": emulator_lib.state_sha1(start)}
  if _SCRIPT.value:
    script = input_scripts.read(_SCRIPT.value, rom)
    wanted = script.saves or [cli.required("name")]
    if script.saves and _NAME.value:
      raise ValueError(
        f"--name={_NAME.value}: the script saves {script.saves} itself"
      )
    made_by |= {"script": script.text}
  else:
    until = _UNTIL.value if _INPUTS.value else cli.required("until")
    condition = conditions.parse(until, rom) if until else None
    wanted = [cli.required("name")]
    if _INPUTS.value:
      log = demo_store.read_log(_INPUTS.value, rom, start)
      if log.remark:
        print(f"--inputs={_INPUTS.value}: {log.remark}", flush=True)
      jitter_frames = log.header.jitter_frames
      player = _Player(_tape(log.actions), len(log.actions), condition)
      made_by |= {"inputs": log.digest, "until": until or ""}
    else:
      policy = policies.make_policy(_POLICY.value, rom)
      policy.reset(episodes.policy_rng(_SEED.value))
      player = _Player(policy.act, _MOST_STEPS.value, condition)
      made_by |= {
        "policy": _POLICY.value, "until": until, "seed": _SEED.value,
      }  # fmt: skip
  for name in wanted:  # complains before the play
    save_states.state_path(_OUT_DIR.value, name)
  print(f"Playing {rom.describe()}", flush=True)
  with emulator_lib.Emulator(rom) as game:
    game.replay_reset(jitter_frames, start)
    saver = _Saver(game, made_by)
    if script is not None:
      input_scripts.run(script, game, saver.save, saver.count)
    if player is not None:
      player.play(game, saver)
    if script is None or not script.saves:
      saver.save(wanted[0])


class _Saver:
  """Counts steps and writes states."""

  def __init__(self, game: Any, made_by: dict[str, Any]):
    self._game = game
    self._made_by = made_by
    self.steps = 0

  def count(self, action: int) -> None:
    del action
    self.steps += 1

  def save(self, name: str) -> None:
    from data_tools.game import emulator as emulator_lib
    from data_tools.game import game_state
    from data_tools.game import save_states

    rom, state = self._game.rom, self._game.save_state()
    made_by = self._made_by | {"steps": self.steps, "rom": rom.name}
    place = ""
    if rom.has_ram_fields:
      at = game_state.from_memory(self._game.memory, rom.map_names)
      made_by["at"] = {
        key: getattr(at, key)
        for key in ("map_name", "x", "y", "badge_count", "party_size")
      }
      place = f" at {at.map_name}, x {at.x}, y {at.y}"
    stamp = save_states.Stamp(
      name=name,
      rom_sha1=rom.sha1,
      pyboy_version=emulator_lib.pyboy_version(),
      state_sha1=save_states.sha1(state),
      made_by=made_by,
    )
    path = save_states.write(_OUT_DIR.value, stamp, state)
    size = path.stat().st_size
    print(f"{path}: step {self.steps}{place}, {size} bytes", flush=True)


class _Player:
  """Plays until a condition holds; without one, all the steps it may."""

  def __init__(
    self, act: Callable[[Any], int], most_steps: int, condition: Any
  ):
    self._act = act
    self._most_steps = most_steps
    self._condition = condition

  def play(self, game: Any, saver: _Saver) -> None:
    """Plays.

    Raises:
      ValueError: the condition did not hold in time.
    """
    while self._condition is None or not self._condition.holds(game.memory):
      if saver.steps >= self._most_steps:
        if self._condition is None:
          return
        of, hint = f"of {_POLICY.value}", "; try another --seed or --most_steps"
        if _INPUTS.value:
          of, hint = f"of {_INPUTS.value}", ""
        raise ValueError(
          f"--until={self._condition.text}: not so within {self._most_steps} "
          f"steps {of}{hint}"
        )
      game.step(self._act(game.memory))
      saver.steps += 1


def _tape(actions: Any) -> Callable[[Any], int]:
  waiting = iter(actions.tolist())
  return lambda memory: next(waiting)


if __name__ == "__main__":
  cli.run_main(main)
