"""Trains the world model on recorded experience.

    python -m experiments.train_rssm --data_dir=DIR --workdir=DIR

The same command on the same directory resumes at the last checkpoint and
gives the losses that an undisturbed run gives (CPU, same versions). Writes
`metrics.jsonl`, checkpoints of the parameters and the optimiser, and a contact
sheet of dreams, `dreams.png`.
"""

import json

from experiments import cli
from experiments import inputs
from experiments import progress
from experiments import run_directory
from pokedreamer_jax import config as config_lib

cli.define_run_flags()
_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")

# What may differ when a run is continued.
FREE = (
  *("train.steps", "train.log_every", "train.eval_every", "train.save_every"),
  *("collect", "latents", "clone", "policy", "actor_critic", "evaluate"),
  "preset",
)
_COMPILE_S = 25  # on two CPU cores


def main() -> None:
  """Builds the parts and runs the loop."""
  config = cli.make_config()
  generation = inputs.open_generation(cli.required("data_dir"), cli.workdir())
  run = run_directory.open_run(
    cli.workdir(),
    "world_model",
    {**config_lib.to_dict(config), **inputs.describe(generation)},
    FREE,
  )
  with run:
    if run.finished:
      run.log(f"world model: done already, {json.dumps(run.result)}")
      return
    for line in generation.report():
      run.log(line)
    train(config, generation, run)


def train(config, generation, run: run_directory.Run) -> None:
  """Trains to `config.train.steps`, from the last checkpoint on."""
  import jax

  from data_tools import loader
  from experiments import world_model_report
  from pokedreamer_jax.training import world_model as training

  train_index = loader.EpisodeIndex(generation, "train")
  source = loader.BatchSource(
    train_index,
    config.train.batch_size,
    config.train.seq_len,
    config.seed,
    fields=world_model_report.FIELDS,
  )
  if source.too_short:
    run.log(f"{source.too_short} episodes are shorter than a window: unused")
  evaluator = world_model_report.Evaluator(config, generation)
  state = training.init_state(config.train, _init_params(config, train_index))
  run_key = jax.random.key(config.seed)
  update = jax.jit(training.make_update(config), donate_argnums=0)

  store = run.checkpoints(keep=2)
  step = 0
  if store.latest_step() is not None:
    items, loop = store.restore({"params": state.params, "opt": _opt(state)})
    state = training.TrainState(
      items["params"], items["opt"]["opt_state"], items["opt"]["step"]
    )
    if loop["source"] != source.fingerprint:
      raise ValueError(f"{run.path}: the recorded data has changed")
    step = int(loop["step"])
    run.log(f"world model: continuing at update {step}")
  run.truncate_metrics(step)

  def save(at: int) -> None:
    store.save(
      at,
      {"params": state.params, "opt": _opt(state)},
      {"step": at, "source": source.fingerprint},
    )

  total = config.train.steps
  batches = loader.batches(source, step)
  with progress.Progress("world model", total, "updates", step) as bar:
    bar.compiling(about_s=_COMPILE_S)
    while step < total:
      state, metrics = update(state, next(batches), run_key)
      step += 1
      stopping = run.stop_requested
      logging = step % config.train.log_every == 0 or step == total
      saving = step % config.train.save_every == 0 or step == total
      if logging or saving or stopping:
        values = {k: float(v) for k, v in jax.device_get(metrics).items()}
        run.check_finite(step, values)
      if logging:
        run.metrics(step, values)
        bar.update(
          step,
          loss=values["loss/total"],
          image=values["loss/image"],
          kl=values["loss/kl"],
        )
      if saving or stopping:
        save(step)
      if stopping:
        store.wait()
        raise run.stopped(f"update {step} of {total}")
      if step % config.train.eval_every == 0 and step < total:
        bar.phase("evaluating", about_s=20)
        run.metrics(step, evaluator.quick(state.params))
        evaluator.contact_sheet(state.params, run.path / "dreams.png")
  store.wait()
  evaluator.contact_sheet(state.params, run.path / "dreams.png")
  quick = evaluator.quick(state.params)
  run.metrics(total, quick)
  store.close()
  run.finish({"steps": total, **quick})
  run.log("world model: " + _summary(quick))


def _opt(state) -> dict:
  return {"opt_state": state.opt_state, "step": state.step}


def _init_params(config, index):
  import jax

  from pokedreamer_jax import tiles
  from pokedreamer_jax import world_model

  key = jax.random.fold_in(jax.random.key(config.seed), 1)
  if config.world_model.family == "v2":  # it has no dictionary
    return world_model.init(config.world_model, key, None)
  frames = (steps["frame"] for _, steps in index.episodes(["frame"]))
  table = tiles.build(frames, config.world_model.tile_vocab)
  return world_model.init(config.world_model, key, table)


def _summary(quick: dict) -> str:
  return ", ".join(f"{name} {value:.3f}" for name, value in quick.items())


if __name__ == "__main__":
  cli.run_main(main)
