"""Policies that planners lead (`evaluate --what=agent`)."""

from experiments.evaluating import asked as asked_lib
from experiments.runs import cli
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib


def evaluate(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """Lets planners lead policies through the same games."""
  from experiments.playing import play_episodes
  from experiments.reports import agent_evaluation
  from experiments.reports import agent_tables

  players = asked.named_players()
  for name, directory in players.items():
    if not directory:
      raise ValueError(
        f"--player={name}: expected NAME=DIR, that planners give goals to"
      )
  steps = {name: (d, asked.step(d)) for name, d in players.items()}
  plan = agent_evaluation.prepare(
    *(config, steps, asked.rom, asked.other_rom),
    *(asked.save_state, asked.knowledge, asked.data_dir or ""),
    *(asked.planner_url, asked.planner_model),
  )
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_agent",
    {"evaluate": asked_lib.measured(config), **plan.decides},
    graceful=False,
  )
  with run:
    if not run.finished:
      with play_episodes.dying_is_told():
        run.finish(agent_evaluation.measure(run, plan, config))
    tables, verdicts = (
      agent_tables.tables(run.result),
      agent_tables.verdicts(run.result),
    )
    asked_lib.show(run, tables, agent_tables.details(run.result), verdicts)
