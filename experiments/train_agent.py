"""Trains an agent in turns: it dreams, plays, and dreams of what it played.

    python -m experiments.train_agent --workdir=runs/agent

Turn 0 is the quickstart's path: record, train the world model, clone, train
the policy in dreams. In each of `agent.turns` further ones the policy of the
turn before plays `agent.episodes` episodes, the world model goes on with them
among its data, and clone and policy are trained anew on it: dreams promise
what was never seen to fail, until it is played. At the end all clones and
policies play the same games.

Every stage is an ordinary command and is shown before it runs. Ctrl-C saves;
the same command goes on where it stopped, and with more turns it adds them.
"""

import os

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

FREE = (*plans.FREE, "agent.turns")  # more turns follow what is done


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
      code = plans.carry_out(plan, run, [])
      if code:
        return code
    turns = agent_turns.collect(workdir, config.agent.turns)
    table = agent_turns.table(turns)
    run.log("\n".join(text_tables.plain_tables([table])))
    run.finish({"turns": turns})
  return 0


if __name__ == "__main__":
  cli.run_main(main)
