"""Tokens held against records, without a model (`evaluate --what=tokens`)."""

import pathlib

from experiments.evaluating import asked as asked_lib
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory
from pokedreamer_jax.config import run as config_lib


def evaluate(config: config_lib.Config, asked: asked_lib.Asked) -> None:
  """Counts whether tokens decide pictures and the next tokens."""
  from experiments.reports import decided_tokens

  if asked.world_model:
    config = inputs.with_world_model(config, asked.world_model)
  cfg = config.world_model
  decided_tokens.check(cfg)
  generation = inputs.open_generation(
    cli.required("data_dir"), pathlib.Path(cli.workdir())
  )
  inputs.check_fields(cfg, generation)
  most_rows = config.evaluate.token_rows
  run = run_directory.open_run(
    cli.workdir(),
    "evaluate_tokens",
    {
      "generation": generation.digest,
      "rows": most_rows,
      "tokens": cfg.tokens,
      "pictures": True,  # looked at since
    },
    graceful=False,
  )
  with run:
    if not run.finished:
      run.finish(decided_tokens.measure(cfg, generation, most_rows))
    asked_lib.show(run, decided_tokens.tables(run.result))
