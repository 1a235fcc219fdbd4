"""Looks at a policy while it learns: they teach nothing, and tell of lies.

What is measured is made up: `dreamt` and `real` gains by how often a policy was
measured, the same luck in both.
"""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from experiments import train_policy
from experiments.playing import goal_cases
from experiments.reports import honesty_curves
from experiments.reports import report
from experiments.runs import inputs
from experiments.runs import metrics
from experiments.runs import run_directory
from experiments.training import honesty_looks
from pokedreamer_jax import checkpoints
from pokedreamer_jax import goal_specs
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import actor_critic
from tests.experiments import behaviour_stages_test as stages
from tests.pokedreamer_jax import fakes

made_up = stages.made_up

_STARTS = 24


def _config(config, **fields):
  fields = {"save_every": 3, "log_every": 2, **fields}
  policy = dataclasses.replace(config.policy, **fields)
  config = dataclasses.replace(config, policy=policy)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "jit", fakes.jit)
    train_policy._jitted_update(config)  # is kept for this process
  return config


def _ground(gains):
  """Starts from which the policy gains what is said, look by look.

  Args:
    gains: by how far an actor is from the first that is measured, in the order
      of looks: `dreamt, real`.
  """
  luck = np.random.default_rng(0).normal(size=_STARTS)
  known = []

  def measure(agent):
    actor = np.concatenate([np.ravel(x) for x in jax.tree.leaves(agent[2])])
    known.append(actor) if not known else None
    far = float(np.abs(actor - known[0]).sum())
    dreamt, real = gains(far)
    shaken = 0.1 * np.random.default_rng(1).normal(size=_STARTS)
    return luck + dreamt, luck + real + shaken * (far > 0)

  return honesty_looks.Ground(
    lambda agent: measure(
      (agent.config, agent.world_params, agent.actor_params)
    ),
    np.arange(_STARTS) // 3,
    played_env_steps=100,
  )


def _train(made_up, directory, config, gains=None, clone=None):
  _, generation, params, _ = made_up
  clone = actor_critic.init_actor(
    config.actor_critic, jax.random.key(9), policy_inputs.size(config)
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(honesty_looks, "ground", lambda *_: _ground(gains))
    with run_directory.open_run(
      directory,
      "policy",
      dataclasses.asdict(config),
      train_policy.FREE,
    ) as run:
      result = train_policy.train(config, generation, params, clone, run)
      run.finish(result)
      return result


def _honest(far):
  return 3.0 * (far > 0) + far, 3.0 * (far > 0) + far


def _lies(far):
  """The further a policy goes, the more is promised, and nothing is paid."""
  return 3.0 * (far > 0) + far, -0.1 * (far > 0)


def _parameters(directory):
  names = ("actor", "critic", "opt")
  return {name: checkpoints.load_item(directory, name) for name in names}


def _looked(directory):
  rows = metrics.read(directory / "metrics.jsonl")
  return [metrics.repeated(row) for row in rows]


def test_looks_teach_nothing_and_are_the_same_after_a_stop(
  made_up, tmp_path, monkeypatch
):
  plain = _config(made_up[0])
  looking = _config(made_up[0], honesty_every=1)
  _train(made_up, tmp_path / "plain", plain)
  whole = _train(made_up, tmp_path / "whole", looking, _honest)
  chex.assert_trees_all_equal(
    _parameters(tmp_path / "plain"), _parameters(tmp_path / "whole")
  )
  assert [r["step"] for r in honesty_curves.looks(tmp_path / "whole")] == [
    *(1, 2, 3, 4)
  ]
  with monkeypatch.context() as patch:
    stages._stop_after(patch, 5)
    with pytest.raises(run_directory.Stopped):
      _train(made_up, tmp_path / "parts", looking, _honest)
  stopped_at = checkpoints.latest_step(tmp_path / "parts")
  assert 0 < stopped_at < 4
  assert _train(made_up, tmp_path / "parts", looking, _honest) == whole
  assert _looked(tmp_path / "parts") == _looked(tmp_path / "whole")
  chex.assert_trees_all_equal(
    _parameters(tmp_path / "parts"), _parameters(tmp_path / "whole")
  )
  # The first and every look, from the same starts.
  assert whole["honesty"]["emulator_steps"] == 5 * 100
  # Asked again for what is done, it looks no more.
  calls = []
  again = _train(made_up, tmp_path / "parts", looking, calls.append)
  assert again == whole and not calls


def test_an_honest_dream_raises_no_alarm(made_up, tmp_path):
  config = _config(made_up[0], honesty_every=2, on_alarm="stop")
  result = _train(made_up, tmp_path, config, _honest)
  assert result["updates"] == 4
  assert result["honesty"]["alarms"] == []
  last = honesty_curves.looks(tmp_path)[-1]
  assert last["honesty/real_gain"] > 3.0
  assert 0.9 < last["honesty/realised"] < 1.1
  assert "ALARM" not in (tmp_path / "log.txt").read_text()
  assert honesty_curves.notes(tmp_path) == []
  # By the name of the best the last one is found, which gained most.
  assert inputs.choose_step(str(tmp_path), "best") == 4


def test_dreams_that_lie_raise_an_alarm_and_training_goes_on(made_up, tmp_path):
  config = _config(made_up[0], honesty_every=2)
  result = _train(made_up, tmp_path, config, _lies)
  alarms = result["honesty"]["alarms"]
  assert alarms and result["updates"] == 4
  text = (tmp_path / "log.txt").read_text()
  assert f"ALARM: dreams and game part at update {alarms[0]}" in text
  assert "parted at update" in train_policy._summary(result)
  (note,) = honesty_curves.notes(tmp_path)
  assert str(alarms[0]) in note
  page = report.render(tmp_path)
  assert "What dreams promised" in page and page.count("<polygon") == 2
  table = honesty_curves.table(honesty_curves.looks(tmp_path))
  assert table.rows[-1][-1] == "parted" and len(table.rows) == 2


def test_an_alarm_ends_the_training_with_the_best_that_was_measured(
  made_up, tmp_path
):
  config = _config(made_up[0], honesty_every=1, on_alarm="stop", log_every=1)
  far_at = []

  def gains(far):
    """The second look is the best, the third finds a lie."""
    far_at.append(far)
    number = len(far_at) - 1  # the first measurement is what it began as
    real = (0.0, 0.0, 2.0, -1.0, -2.0)[number]
    return (0.0, 0.0, 2.1, 5.0, 6.0)[number], real

  result = _train(made_up, tmp_path, config, gains)
  assert result["honesty"]["alarms"] == [3]
  assert result["honesty"]["stopped"]
  assert result["updates"] == 2 == checkpoints.latest_step(tmp_path)
  assert inputs.choose_step(str(tmp_path), "best") == 2
  assert result["honesty"]["best"]["update"] == 2
  # What is told of it is of that update, not of the one with the alarm.
  name = "policy/entropy"
  rows = metrics.read(tmp_path / "metrics.jsonl")
  entropy = {row["step"]: row[name] for row in rows if name in row}
  assert entropy[2] != entropy[3] and result[name] == entropy[2]
  # Whoever does not mind goes on from there, and to the end.
  heedless = dataclasses.replace(
    config, policy=dataclasses.replace(config.policy, on_alarm="go_on")
  )
  far_at[:] = [0.0, 0.0, 0.0]
  assert _train(made_up, tmp_path, heedless, _lies)["updates"] == 4
  assert checkpoints.latest_step(tmp_path) == 4


def test_what_no_look_improved_on_is_what_it_began_as(made_up, tmp_path):
  config = _config(made_up[0], honesty_every=2, on_alarm="stop")
  result = _train(made_up, tmp_path, config, _lies)
  assert result["updates"] == 0 == checkpoints.latest_step(tmp_path)
  assert "policy/entropy" not in result
  began = actor_critic.init_actor(
    config.actor_critic, jax.random.key(9), policy_inputs.size(config)
  )
  actor = checkpoints.load_item(tmp_path, "actor")
  chex.assert_trees_all_equal(actor, jax.device_get(began))


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"on_alarm": "stop"}, "policy.on_alarm: 'stop', nobody looks"),
    ({"on_alarm": "halt"}, "on_alarm: 'halt', expected one of"),
    ({"honesty_every": -1}, "honesty_every: -1"),
    ({"honesty_every": 5, "honesty_starts": 1}, "honesty_starts: 1"),
  ],
)
def test_bad_settings_are_one_line(fields, words):
  with pytest.raises(ValueError, match=words) as caught:
    behaviour_config.PolicyConfig(**fields)
  assert len(str(caught.value).splitlines()) == 1


def test_other_games_and_too_few_starts_are_refused(made_up):
  config = _config(made_up[0], honesty_every=2)
  with pytest.raises(ValueError, match=r"--rom: .*expected the same one"):
    train_policy._rom_of(config, made_up[1])
  term = dataclasses.replace(config.policy, only_term="badges")
  with pytest.raises(ValueError, match="only_term: 'badges', games are paid"):
    train_policy._rom_of(dataclasses.replace(config, policy=term), made_up[1])


def test_starts_under_goals_take_kinds_in_turn():
  def case(kind, off_way=False):
    goal = goal_specs.Goal(kind)
    return goal_cases.Case(0, 1, goal, 2, off_way=off_way)

  chosen = [case("explore"), case("explore"), case("explore", True)]
  chosen += [case("heal"), case("badge"), case("badge")]
  kinds = [each.goal.kind for each in honesty_looks.in_turn(chosen)]
  assert kinds == ["explore", "heal", "badge", "explore", "badge"]
