"""Trains the policy inside dreams of the world model alone.

    python -m experiments.train_policy --data_dir=DIR --world_model=DIR \
      --clone=DIR --workdir=DIR [--algorithm=ppo|grpo|reinforce|pmpo]

Dreams start from posterior states of the recorded episodes; docs/policy.md has
the algorithms. `--clone=` with nothing behind it trains from scratch. The same
command on the same directory resumes. The checkpoint holds all that acting
needs, the world model included. With `--set=policy.honesty_every=N` what it
gains in dreams is held against games every N updates.
"""

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

from experiments.machine import memory
from experiments.runs import cli
from experiments.runs import inputs
from experiments.runs import metrics as metrics_lib
from experiments.runs import run_directory
from experiments.training import stage_loop
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import run as config_lib

cli.define_run_flags()
cli.define_trackers()
_DATA_DIR = cli.string("data_dir", None, "Directory of recorded experience.")
_WORLD_MODEL = cli.string("world_model", None, "Run directory of train_rssm.")
_CHECKPOINT_STEP = cli.define_checkpoint_step("the world model")
_RESUME_STEP = cli.define_resume_step()
_CLONE = cli.string(
  "clone", None, "Run directory of clone_behaviour; empty: from scratch."
)
_GOAL_VALUES = cli.string(
  "goal_values",
  None,
  "Run directory of train_goal_values: what its goals are worth where a dream "
  "under one of them ends; default: what the critic thinks.",
)
_ROM = cli.define_rom()
_ALGORITHM = cli.choice(
  "algorithm",
  None,
  behaviour_config.ALGORITHMS,
  "How to learn in dreams, as --set=policy.algorithm; default: ppo.",
)

# What may differ when a run is continued.
FREE = (
  *("policy.updates", "policy.scratch_updates", "preset"),
  *("policy.log_every", "policy.save_every", "policy.on_alarm"),
  *("collect", "train", "clone", "all_goals", "evaluate", "agent"),
)
_COMPILE_S = 30  # on two CPU cores


def main() -> None:
  """Flags to parts."""
  tracked = cli.trackers()
  world_model_dir = cli.required("world_model")
  clone_dir = _CLONE.value
  if clone_dir is None:
    raise ValueError("--clone is required (--clone= trains from scratch)")
  config = inputs.with_world_model(_config(), world_model_dir)
  config = dataclasses.replace(
    config, policy=_policy_config(config.policy, bool(clone_dir))
  )
  config.world_model.check_reward_terms()  # before hours of encoding
  _check_objective(config)
  inputs.check_goals(config)
  step = inputs.choose_step(world_model_dir, _CHECKPOINT_STEP.value)
  generation = inputs.open_generation(cli.required("data_dir"), cli.workdir())
  sources = {
    "world_model": inputs.fingerprint(world_model_dir, step),
    "clone": None,
  }
  if clone_dir:
    sources["clone"] = inputs.fingerprint(clone_dir)
    inputs.check_clone(clone_dir, world_model_dir, step)
  inputs.check_data(world_model_dir, generation)
  inputs.check_fields(config.world_model, generation)
  if not (cli.workdir() / "result.json").exists():
    memory.check_dreams(config)
  rom = None
  if config.policy.honesty_every:
    rom = _rom_of(config, generation, _ROM.value)
  goal_values = None
  if _GOAL_VALUES.value:
    from experiments.training import dream_starts

    config, goal_values = dream_starts.with_goal_values(
      config, _GOAL_VALUES.value, world_model_dir, step
    )
    sources["goal_values"] = inputs.fingerprint(_GOAL_VALUES.value)
  run = run_directory.open_run(
    cli.workdir(),
    "policy",
    {
      **config_lib.to_dict(config),
      **inputs.describe(generation),
      "inputs": sources,
    },
    FREE,
  )
  run.resume_step = _RESUME_STEP.value

  def carry_out() -> dict[str, Any]:
    world_params = inputs.load_world_model(world_model_dir, step)
    clone = inputs.load_actor(clone_dir, config) if clone_dir else None
    return train(config, generation, world_params, clone, run, goal_values, rom)

  stage_loop.carry_out(run, "policy", generation, carry_out, _summary, tracked)


def train(
  config: config_lib.Config,
  generation,
  world_params,
  clone,
  run: run_directory.Run,
  goal_values: inputs.GoalValues | None = None,
  rom: Any = None,
) -> dict[str, Any]:
  """Trains for `config.policy.updates` dream batches, or until an alarm.

  Returns:
    The metrics of the update whose policy is kept, and `honesty`, what looks
    at it found.
  """
  import jax

  from experiments.training import dream_starts
  from pokedreamer_jax.behaviour import event_starts
  from pokedreamer_jax.behaviour import policy_inputs
  from pokedreamer_jax.behaviour import policy_state

  starts = dream_starts.prepare(
    config, generation, world_params, run, goal_values
  )
  run.log(f"policy: dreams start from {len(starts.start)} recorded states")
  if config.policy.algorithm != "ppo":
    run.log(f"policy: {_described(config.policy, clone is not None)}")
  init_key, run_key = jax.random.split(jax.random.key(config.seed))
  inputs_dim = policy_inputs.size(config)
  state = policy_state.init_state(config, init_key, inputs_dim, clone)
  if starts.events is not None:
    reach = event_starts.by_kind(starts.events)
    state = dataclasses.replace(state, event_reach=reach)
  # As restored parameters lie: arrays that are bound to no device yet would
  # make the second update compile again.
  state = jax.device_put(state, jax.devices()[0])
  update = _jitted_update(config)
  looks = _looks(config, generation, rom, world_params, state.actor, run)
  best = None if looks is None else inputs.REAL_GAIN
  store = run.checkpoints(keep=2, best=best)

  def save(step: int, gain: float | None = None) -> None:
    """Stores the policy, with its gain in the game where it was measured."""
    looked: dict[str, Any] = {}
    if looks is not None:
      looked = {"looks": list(looks.found), "metrics": values}
    store.save(
      step,
      _items(state) | {"world_model": world_params},
      {"step": step, **looked},
      None if gain is None else {inputs.REAL_GAIN: gain},
    )

  values: dict[str, float] = {}
  found = stage_loop.restore(run, store, "policy", _items(state))
  if found:
    items, kept = found
    opt = items.pop("opt")
    state = policy_state.PolicyState(**items, **opt)
    if looks is not None:
      looks.found = list(kept.get("looks", []))
  elif looks is not None:
    save(0, 0.0)  # nothing may be better than what it began as
  values = _last_values(run)
  with stage_loop.Loop(
    run,
    store,
    "policy",
    config.policy.updates,
    int(state.update),
    config.policy.log_every,
    config.policy.save_every,
    _COMPILE_S,
    config.policy.starts * config.policy.horizon,
  ) as loop:
    while loop.going and not (looks and looks.stopped):
      state, metrics = update(state, run_key, world_params, starts, clone)
      due = loop.after()
      looking = looks is not None and looks.due(loop.step, due.last)
      if due.look or looking:
        values = {k: float(v) for k, v in jax.device_get(metrics).items()}
        values["optimiser/actor_learning_rate"] = config.policy.learning_rate
        values["optimiser/critic_learning_rate"] = (
          config.policy.critic_learning_rate
        )
        run.check_finite(loop.step, values)
      if due.log:
        loop.tell(
          values,
          reward=values["imagined/reward"],
          entropy=values["policy/entropy"],
        )
      gain = None
      if looks is not None and looking:
        looked = looks.look(loop.step, state.actor)
        run.metrics(loop.step, looked)
        gain = looked[inputs.REAL_GAIN]
      if due.save or gain is not None:
        save(loop.step, gain)
      loop.leave_if(dataclasses.replace(due, log=due.log or gain is not None))
    updates = loop.step
  if looks is not None and looks.stopped:
    updates, values = _go_back(run, store)
  store.close()
  result = {"updates": updates, **values}
  return result if looks is None else {**result, "honesty": looks.result()}


def _go_back(
  run: run_directory.Run, store: Any
) -> tuple[int, dict[str, float]]:
  """After an alarm the best policy measured is the run's last one.

  Returns:
    Its update, and what was measured of that; nothing of none.
  """
  from pokedreamer_jax import checkpoints

  store.wait()
  best = checkpoints.best_step(store.directory, inputs.REAL_GAIN)
  assert best is not None  # a look was saved
  store.go_back(best)
  run.log(
    f"policy: ended by policy.on_alarm; back to update {best}, which gained "
    "most in the game"
  )
  _, kept = store.restore({}, best)
  return best, dict(kept.get("metrics", {}))


def _looks(config, generation, rom, world_params, began, run):
  """`honesty_looks.Looks` at a policy, None where nobody looks."""
  if not config.policy.honesty_every:
    return None
  from experiments.training import honesty_looks

  ground = honesty_looks.ground(config, generation, rom)
  return honesty_looks.Looks(config, world_params, began, ground, run.log)


def _rom_of(
  config: config_lib.Config, generation: Any, named: str | None = None
) -> Any:
  """The ROM that looks are played on, before hours of encoding.

  Raises:
    ValueError: it is not that of the records, or games pay otherwise.
  """
  from data_tools.game import roms

  if config.policy.only_term and not config.actor_critic.reads_goal:
    raise ValueError(
      f"policy.only_term: {config.policy.only_term!r}, games are paid the "
      "whole objective, expected '' with policy.honesty_every above 0"
    )
  rom = roms.resolve(named)
  recorded = inputs.describe(generation)["roms"]
  if recorded != [rom.sha1]:
    raise ValueError(
      f"--rom: {rom.describe()}, and {generation.data_dir} holds the ROM "
      f"{', '.join(recorded)}: looks (policy.honesty_every) play what was "
      "recorded, expected the same one"
    )
  return rom


def _summary(result: Mapping[str, Any]) -> str:
  text = ", ".join(
    f"{name} {result[name]:.4g}"
    for name in ("imagined/reward", "policy/entropy")
    if name in result
  )
  if not result.get("honesty"):
    return text
  from experiments.training import honesty_looks

  return text + honesty_looks.summary(result["honesty"])


# Fields of a policy that say when something is looked at or stored.
_NOT_OF_UPDATES = (
  *("log_every", "save_every", "on_alarm", "honesty_every"),
  *("honesty_starts", "honesty_plays", "honesty_most_row"),
)


def _jitted_update(config: config_lib.Config):
  """The update on dreams, compiled once a process and what it reads."""
  plain = behaviour_config.PolicyConfig()
  same = {name: getattr(plain, name) for name in _NOT_OF_UPDATES}
  policy = dataclasses.replace(config.policy, **same)
  return _compiled_update(dataclasses.replace(config, policy=policy))


@functools.cache
def _compiled_update(config: config_lib.Config):
  import jax

  from pokedreamer_jax.behaviour import dreams
  from pokedreamer_jax.behaviour import policy_update

  update = policy_update.make_update(
    config, dreams.make_dream_fn(config), dreams.make_replay_fn(config)
  )
  return jax.jit(update, donate_argnums=0)


def _asked() -> list[str]:
  asked = _ALGORITHM.value
  return [f"policy.algorithm={asked}"] if asked else []


def _config() -> config_lib.Config:
  """What the flags describe; --algorithm names a field that --set may name."""
  asked = _ALGORITHM.value
  config = cli.make_config(_asked())
  found = config.policy.algorithm
  if asked not in (None, found):
    raise ValueError(
      f"--algorithm={asked}, --set=policy.algorithm={found}: two answers to "
      "one question, expected one"
    )
  return config


def _described(policy: behaviour_config.PolicyConfig, cloned: bool) -> str:
  """An algorithm, and what it does with fields that it reads otherwise."""
  if policy.algorithm == "grpo":
    count = policy.starts // policy.group_size
    text = f"{policy.group_size} dreams from each of {count} starts"
  elif policy.algorithm == "reinforce":
    text = f"of {policy.epochs} passes over a batch the actor makes the first"
  elif cloned:
    text = (
      f"weight {policy.pmpo_beta} of the divergence from the clone "
      "(policy.kl_scale and kl_final are not read)"
    )
  else:
    text = "no clone to stay near, only entropy to keep it from one action"
  return f"{policy.algorithm}, {text}"


def _policy_config(
  policy: behaviour_config.PolicyConfig, cloned: bool
) -> behaviour_config.PolicyConfig:
  """From scratch there is nothing to stay near, nor to be destroyed.

  What --set names holds all the same; of both numbers of updates, that of
  training from scratch, or the other one where a preset has none of it.
  """
  if cloned:
    return policy
  # To no clone.
  changes: dict[str, Any] = dict.fromkeys(
    ("kl_scale", "kl_final", "kl_battle"), 0.0
  )
  asked = cli.is_set("policy.scratch_updates")
  if asked and not policy.scratch_updates:
    raise ValueError(
      "policy.scratch_updates: 0, expected at least 1 to train from scratch "
      "(--clone= is empty)"
    )
  if policy.scratch_updates and (asked or not cli.is_set("policy.updates")):
    changes["updates"] = policy.scratch_updates
  if not cli.is_set("policy.critic_warmup"):
    changes["critic_warmup"] = 0
  # A policy that no clone holds leads ahead to where the model knows least: on
  # chapter one it threw lanterns with none left, which dreams pay there.
  if not cli.is_set("policy.ahead_starts"):
    changes["ahead_starts"] = 0.0
  return dataclasses.replace(policy, **changes)


def _check_objective(config: config_lib.Config) -> None:
  from pokedreamer_jax.behaviour import objectives

  objectives.check(config)


def _items(state) -> dict:
  """The parts of a policy state, as they are stored.

  Those that not every policy has are stored where there are any, so that
  checkpoints of the others stay as they were before there were such parts.
  """
  some = {
    "slow_critic": state.slow_critic,
    "return_scale": state.return_scale,
    "event_reach": state.event_reach,
  }
  return {name: part for name, part in some.items() if part is not None} | {
    "actor": state.actor,
    "critic": state.critic,
    "opt": {
      "actor_opt": state.actor_opt,
      "critic_opt": state.critic_opt,
      "update": state.update,
    },
  }


def _last_values(run: run_directory.Run) -> dict[str, float]:
  """The metrics recorded last, for a run that was killed when complete."""
  rows = [
    row
    for row in metrics_lib.read(run.path / "metrics.jsonl")
    if inputs.REAL_GAIN not in row
  ]
  last = metrics_lib.repeated(rows[-1]) if rows else {}
  return {name: value for name, value in last.items() if name != "step"}


if __name__ == "__main__":
  cli.define_defaults(_asked)
  cli.run_main(main)
