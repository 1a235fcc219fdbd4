"""Learns values of all goals at once from recorded rows, without dreams.

    python -m experiments.train_goal_values --data_dir=DIR --world_model=DIR \
      --workdir=DIR [--rom=great_vale]

Goals are those of the practice cartridge that the model's tokens can judge, and
`all_goals.tiles` of the tiles that were come to most often; which are left out
is said. Every recorded step teaches all of them (`behaviour/all_goals.py`).
Held-out episodes tell how well values foresee what is reached. The same command
on the same directory resumes.
"""

import functools
from typing import Any

from experiments.reports import goal_value_tables
from experiments.reports import text_tables
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.training import stage_loop
from pokedreamer_jax.config import run as config_lib

cli.define_run_flags()
cli.define_trackers()
_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")
_WORLD_MODEL = cli.string("world_model", None, "Run directory of train_rssm.")
_CHECKPOINT_STEP = cli.define_checkpoint_step("the world model")
_RESUME_STEP = cli.define_resume_step()
_ROM = cli.define_rom()

# What may differ when a run is continued.
FREE = (
  *("all_goals.steps", "all_goals.log_every", "all_goals.save_every", "preset"),
  *("collect", "train", "goals", "clone", "policy", "evaluate", "agent"),
)
_COMPILE_S = 10  # on two CPU cores


def main() -> None:
  """Flags to parts."""
  from data_tools.game import roms

  tracked = cli.trackers()
  world_model_dir = cli.required("world_model")
  config = inputs.with_world_model(cli.make_config(), world_model_dir)
  rom = roms.resolve(_ROM.value)
  step = inputs.choose_step(world_model_dir, _CHECKPOINT_STEP.value)
  generation = inputs.open_generation(cli.required("data_dir"), cli.workdir())
  inputs.check_data(world_model_dir, generation)
  inputs.check_fields(config.world_model, generation)
  recorded = inputs.describe(generation)["roms"]
  if rom.sha1 not in recorded:
    raise ValueError(
      f"--rom: goals of {rom.describe()}, and {generation.data_dir} was "
      f"recorded on the ROM with SHA-1 {' and '.join(recorded)}, expected it"
    )
  run = run_directory.open_run(
    cli.workdir(),
    "goal_values",
    {
      **config_lib.to_dict(config),
      **inputs.describe(generation),
      "rom": rom.sha1,
      "inputs": {"world_model": inputs.fingerprint(world_model_dir, step)},
    },
    FREE,
  )
  run.resume_step = _RESUME_STEP.value
  stage_loop.carry_out(
    run,
    "goal values",
    generation,
    lambda: train(
      config,
      generation,
      inputs.load_world_model(world_model_dir, step),
      rom,
      run,
    ),
    lambda result: f"{len(result.get('goals', ()))} goals measured",
    tracked,
  )


def train(
  config: config_lib.Config,
  generation,
  world_params,
  rom: Any,
  run: run_directory.Run,
) -> dict[str, Any]:
  """Encodes, then trains to `config.all_goals.steps` from the last checkpoint.

  Returns:
    What values say of held-out rows, and of each goal.
  """
  import jax

  from data_tools.records import loader
  from experiments.training import goal_values
  from pokedreamer_jax import checkpoints
  from pokedreamer_jax import goal_specs
  from pokedreamer_jax.behaviour import all_goals

  index = loader.EpisodeIndex(generation, "train")
  goals, left_out = goal_values.choose(config, index, rom)
  for line in left_out:
    run.log(f"goal values: left out, {line}")
  arrays = goal_specs.stack(goals)
  rows = goal_values.encode(config, world_params, index, "train", run)
  held_out = goal_values.encode(
    config, world_params, loader.EpisodeIndex(generation, "val"), "val", run
  )
  run.log(
    f"goal values: {len(goals)} goals, {len(rows.action)} rows, "
    f"{len(held_out.action)} held out"
  )
  judge = goal_values.Judge(config, goals, rows, held_out)
  update = _jitted(config)
  init_key, run_key = jax.random.split(jax.random.key(config.seed))
  state = all_goals.init_state(config, init_key, len(goals))
  state = jax.device_put(state, jax.devices()[0])  # as a restored one lies
  arrays = jax.device_put(arrays, jax.devices()[0])
  store = run.checkpoints(keep=2)
  if store.latest_step() is not None:
    stored = checkpoints.load_item(run.path, "goals")["array"]
    goal_values.check_stored(stored, goal_specs.stack(goals), run.path)
  found = stage_loop.restore(run, store, "goal values", _items(state, arrays))
  if found:
    items, _ = found
    items.pop("goals")
    state = all_goals.State(**items.pop("opt"), **items)
  with stage_loop.Loop(
    run,
    store,
    "goal values",
    config.all_goals.steps,
    int(state.step),
    config.all_goals.log_every,
    config.all_goals.save_every,
    _COMPILE_S,
    config.all_goals.batch_size * config.all_goals.length,
  ) as loop:
    while loop.going:
      state, metrics = update(state, run_key, rows, arrays)
      due = loop.after()
      if not due.look:
        continue
      values = {k: float(v) for k, v in jax.device_get(metrics).items()}
      values["optimiser/learning_rate"] = config.all_goals.learning_rate
      run.check_finite(loop.step, values)
      if due.save:
        values |= judge.quick(state.slow)
        store.save(loop.step, _items(state, arrays), {"step": loop.step})
      loop.tell(values, q=values["loss/q"], v=values["loss/v"])
      loop.leave_if(due)
  result = {"steps": config.all_goals.steps, **judge.measure(state.slow)}
  store.close()
  for line in text_tables.plain_tables(goal_value_tables.tables(result)):
    run.log(line)
  for line in goal_value_tables.out_of_reach(result):
    run.log(f"goal values: {line}")
  return result


@functools.cache
def _jitted(config: config_lib.Config):
  """The update, compiled once a process and configuration."""
  import jax

  from pokedreamer_jax.behaviour import all_goals

  update = all_goals.make_update(config, all_goals.make_draw_fn(config))
  return jax.jit(update, donate_argnums=0)


def _items(state, goals) -> dict[str, Any]:
  """The parts of a state, as they are stored, and the goals in their order."""
  return {
    "params": state.params,
    "slow": state.slow,
    "goals": {"array": goals},  # [K, SIZE]
    "opt": {"opt_state": state.opt_state, "step": state.step},
  }


if __name__ == "__main__":
  cli.run_main(main)
