"""Trains an agent in turns: it dreams, plays, and dreams of what it played.

    python -m experiments.train_agent --workdir=runs/agent

Turn 0 is the quickstart's path: record, train the world model, clone, train
the policy in dreams. In each of `agent.turns` further ones the policy of the
turn before plays `agent.episodes` episodes, the world model goes on with them
among its data, and clone and policy are trained anew on it: dreams promise
what was never seen to fail, until it is played. At the end all clones and
policies play the same games. Turns end early where fresh play shows next to
nothing new (`agent.least_new_frames`), a policy's training where its dreams and
the game part (`policy.honesty_every`, `policy.on_alarm=stop`).

Every stage is an ordinary command and is shown before it runs. Ctrl-C saves;
the same command goes on where it stopped, and with more turns it adds them.
"""

import dataclasses
import os
import pathlib

from experiments import agent_plan
from experiments.reports import agent_turns
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import plans
from experiments.runs import run_directory
from experiments.runs import stages
from pokedreamer_jax.config import run as config_lib

cli.define_run_flags()
_ROM = cli.define_rom()

# More turns follow what is done, and they may go on where they had ended.
FREE = (*plans.FREE, "agent.turns", "agent.least_new_frames")


def main() -> int | None:
  """Plans the turns, runs what is pending, tells what each brought."""
  from data_tools.game import roms

  workdir = cli.workdir()
  rom = roms.resolve(_ROM.value)
  rom_path = _ROM.value or os.environ.get(roms.ROM_VARIABLE)
  if rom.kind != "practice":
    raise ValueError(
      f"--rom: nobody demonstrates {rom.describe()}, so there is no clone to "
      "begin with, expected a practice cartridge"
    )
  config = cli.make_config()
  agent_plan.check(config, rom)  # before the directory is claimed for it
  run = run_directory.open_run(
    workdir,
    "agent",
    {**config_lib.to_dict(config), "rom": rom.sha1},
    FREE,
    graceful=False,
  )
  with run:
    arguments = cli.config_arguments([])
    plan = agent_plan.make_plan(workdir, rom_path, arguments, config)
    if stages.pending(plan):
      run.log(f"Game: {rom.describe()}")
      run.log(f"Preset {config.preset}, seed {config.seed}, in {workdir}")
      ended = _Ended(workdir, config.agent.least_new_frames)
      code = plans.carry_out(plan, run, [], enough=ended)
      if not code and ended.turn is not None:
        run.log(
          f"Turns end: of what was played in turn {ended.turn}, "
          f"{ended.share:.1%} was new (agent.least_new_frames "
          f"{config.agent.least_new_frames:.1%})"
        )
        agent = dataclasses.replace(config.agent, turns=ended.turn - 1)
        config = dataclasses.replace(config, agent=agent)
        plan = agent_plan.make_plan(workdir, rom_path, arguments, config)
        code = plans.carry_out(plan, run, [])
      if code:
        return code
    turns = agent_turns.collect(workdir, config.agent.turns)
    table = agent_turns.table(turns)
    run.log("\n".join(text_tables.plain_tables([table])))
    run.finish({"turns": turns})
  return 0


class _Ended:
  """Whether turns end after a stage, as its fresh play showed nothing new."""

  def __init__(self, workdir: pathlib.Path, least: float):
    self._workdir, self._least = workdir, least
    self.turn: int | None = None  # whose play it was
    self.share = 0.0

  def __call__(self, stage: stages.Stage) -> bool:
    name, _, turn = stage.name.partition(" ")
    if name != "play":
      return False
    share = agent_turns.shows_nothing_new(self._workdir, int(turn), self._least)
    if share is None:
      return False
    self.turn, self.share = int(turn), share
    return True


if __name__ == "__main__":
  cli.run_main(main)
