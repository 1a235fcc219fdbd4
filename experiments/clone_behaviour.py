"""Clones demonstrations: an actor on the world model's posterior states.

    python -m experiments.clone_behaviour --data_dir=DIR --world_model=DIR \
      --workdir=DIR

Encodes the episodes of `clone.sources` (the demonstrator's, and those that
people played) once, whole, as acting would, and trains the actor on what those
players chose; with `actor_critic.reads_goal` under goals that their episodes
reached later (docs/goals.md). The same command on the same directory resumes.
The checkpoint holds all that acting needs, the world model included.
"""

import functools

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

# What may differ when a run is continued.
FREE = (
  *("clone.steps", "clone.log_every", "clone.save_every", "preset"),
  "clone.few_rows",  # says what others do
  *("collect", "train", "all_goals", "policy", "evaluate", "agent"),
)
_COMPILE_S = 5  # on two CPU cores


def main() -> None:
  """Flags to parts."""
  tracked = cli.trackers()
  world_model_dir = cli.required("world_model")
  config = inputs.with_world_model(cli.make_config(), world_model_dir)
  if config.world_model.action_alignment == "published":
    raise ValueError(
      f"{world_model_dir}: world_model.action_alignment 'published': its "
      "states hold the very action to be imitated, expected 'previous'"
    )
  step = inputs.choose_step(world_model_dir, _CHECKPOINT_STEP.value)
  generation = inputs.open_generation(cli.required("data_dir"), cli.workdir())
  inputs.check_data(world_model_dir, generation)
  inputs.check_fields(config.world_model, generation)
  inputs.check_goals(config)
  run = run_directory.open_run(
    cli.workdir(),
    "clone",
    {
      **config_lib.to_dict(config),
      **inputs.describe(generation),
      "inputs": {"world_model": inputs.fingerprint(world_model_dir, step)},
    },
    FREE,
  )
  run.resume_step = _RESUME_STEP.value
  stage_loop.carry_out(
    run,
    "clone",
    generation,
    lambda: train(
      config, generation, inputs.load_world_model(world_model_dir, step), run
    ),
    lambda result: ", ".join(f"{n} {value:.4g}" for n, value in result.items()),
    tracked,
  )


def train(
  config: config_lib.Config, generation, world_params, run: run_directory.Run
) -> dict[str, float]:
  """Encodes, then trains to `config.clone.steps` from the last checkpoint.

  Returns:
    How well the actor does what was demonstrated, there and on held-out rows.
  """
  import jax

  from data_tools.game import goal_labels
  from pokedreamer_jax.behaviour import cloning
  from pokedreamer_jax.behaviour import goals
  from pokedreamer_jax.behaviour import policy_inputs

  numbering = goal_labels.Numbering()
  prepare = functools.partial(
    _demonstrations, config, generation, world_params, run, numbering
  )
  rows, action = prepare("train")
  if not len(action):
    raise ValueError(
      f"clone.sources: no steps of {config.clone.sources} in the training "
      "episodes: collect with demonstrator in collect.policy_mix, record with "
      "record_demos, or train_policy with --clone="
    )
  held_out = prepare("val")
  run.log(
    f"clone: {len(action)} demonstrated steps, {len(held_out[1])} held out"
  )
  table = None
  if config.actor_critic.reads_goal:
    run.log(f"clone: under {len(numbering.goals) - 1} different goals")
    table = goals.table(numbering.goals)
  train_fn, evaluate = _jitted(config)
  rate = cloning.learning_rate(config.clone)

  init_key, draw_key = jax.random.split(jax.random.key(config.seed))
  state = cloning.init_state(config, init_key, policy_inputs.size(config))
  state = jax.device_put(state, jax.devices()[0])  # as a restored one lies
  store = run.checkpoints(keep=2)
  found = stage_loop.restore(
    run, store, "clone", {"actor": state.params, "opt": _opt(state)}
  )
  if found:
    state = cloning.CloneState(params=found[0]["actor"], **found[0]["opt"])
  with stage_loop.Loop(
    run,
    store,
    "clone",
    config.clone.steps,
    int(state.step),
    config.clone.log_every,
    config.clone.save_every,
    _COMPILE_S,
    config.clone.batch_size,
  ) as loop:
    while loop.going:
      count = loop.until_due
      state, metrics = train_fn(state, draw_key, rows, action, count, table)
      due = loop.after(count)
      values = {name: float(value) for name, value in metrics.items()}
      values["optimiser/learning_rate"] = float(rate(loop.step - 1))
      run.check_finite(loop.step, values)
      if due.save:
        if not due.stop:
          values |= _held_out_values(evaluate, state.params, held_out, table)
        parts = {"actor": state.params, "opt": _opt(state)}
        store.save(
          loop.step,
          {**parts, "world_model": world_params},
          {"step": loop.step},
        )
      loop.tell(
        values, loss=values["loss/clone"], accuracy=values["clone/accuracy"]
      )
      loop.leave_if(due)
  result: dict[str, float] = {
    "steps": config.clone.steps,
    "demonstrated_steps": len(action),
  }
  result |= evaluate(state.params, rows, action, table)
  result |= _held_out_values(evaluate, state.params, held_out, table)
  store.close()
  return result


@functools.cache
def _jitted(config: config_lib.Config):
  """Training and evaluation, compiled once a process and configuration."""
  import jax

  from pokedreamer_jax.behaviour import cloning
  from pokedreamer_jax.behaviour import goal_draws
  from pokedreamer_jax.behaviour import latents
  from pokedreamer_jax.behaviour import policy_inputs

  def feat_fn(key, rows, table):
    seen, number = rows
    state = latents.unpack(config.world_model, seen)
    reached = latents.progress(config.world_model, seen, state)
    goal = None
    if config.actor_critic.reads_goal:
      drawn = goal_draws.draw(config.goals, key, number)
      goal = table.embeddings[drawn]
    return policy_inputs.read(config, state, reached, goal)

  return (
    jax.jit(cloning.make_train(config, feat_fn), donate_argnums=0),
    cloning.make_evaluate(config, feat_fn),
  )


def _demonstrations(config, generation, world_params, run, numbering, split):
  """Rows of `clone.sources` with their candidate goals, and their actions.

  On the device; of no rows where there are none.
  """
  import jax

  from data_tools.records import loader
  from experiments.training import goal_rows
  from experiments.training import latents as encoding
  from pokedreamer_jax.behaviour import latents

  index = loader.EpisodeIndex(generation, split)
  places = encoding.choose_episodes(config, index, config.clone.source_names)
  if not places:
    nothing = latents.empty(config.world_model)
    return (nothing, None), nothing.action
  encoded = encoding.encode_with_progress(
    config, world_params, index, places, f"encoding {split} episodes", run
  )
  rows = latents.target_rows(encoded, config.clone.source_names)
  if split == "train" and config.clone.max_rows:
    rows = rows[: config.clone.max_rows]
  number = None
  if config.actor_critic.reads_goal:
    number = goal_rows.candidates(config, index, places, numbering)[0][rows]
  seen = jax.device_put(latents.take(latents.with_earned(encoded), rows))
  return (seen, jax.device_put(number)), seen.action


def _held_out_values(evaluate, params, held_out, table) -> dict[str, float]:
  rows, action = held_out
  if not len(action):
    return {}
  metrics = evaluate(params, rows, action, table)
  return {f"val/{name}": value for name, value in metrics.items()}


def _opt(state) -> dict:
  return {"opt_state": state.opt_state, "step": state.step}


if __name__ == "__main__":
  cli.run_main(main)
