import json

from data_tools import generations
from tests.data_tools import torch_fakes
from tests.experiments import collect_data_test


def test_a_frozen_policy_records_and_resumes(tmp_path):
  path = tmp_path / "policy.zip"
  torch_fakes.policy_file(path, torch_fakes.policy_arrays())
  flags = (
    f"--workdir={tmp_path / 'data'}",
    *("--preset=debug", "--episode_length=30", "--workers=1"),
    f"--policy=sb3={path}:eps=0.1",
  )
  first = collect_data_test._run(*flags, "--episodes=2")
  assert first.returncode == 0, first.stderr
  more = collect_data_test._run(*flags, "--episodes=3")
  assert more.returncode == 0, more.stderr
  assert "collect: 1 episodes, 30 steps" in more.stdout
  generation = generations.freeze(tmp_path / "data")
  assert (generation.num_episodes, generation.num_steps) == (3, 90)
  behaviours = {e.header.behaviour for _, e in generation.episodes()}
  (behaviour,) = behaviours
  assert behaviour.startswith("sb3:") and behaviour.endswith(":eps=0.1")
  result = json.loads((tmp_path / "data" / "result.json").read_text())
  assert result["behaviours"][behaviour]["episodes"] == 3
  # Other weights are another collection.
  torch_fakes.policy_file(path, torch_fakes.policy_arrays(num_actions=6))
  other = collect_data_test._run(*flags, "--episodes=3")
  assert other.returncode == 2
  assert "collect.policy_mix: there 'sb3:" in other.stderr


def test_bad_policies_end_in_one_line(tmp_path):
  (tmp_path / "text.zip").write_text("text")
  for policy, word in (
    (f"sb3={tmp_path / 'text.zip'}", "damaged zip"),
    (f"sb3={tmp_path / 'absent.zip'}", "No such file"),
    (f"sb3={tmp_path / 'text.zip'}:eps=2", "expected sb3=PATH"),
  ):
    refused = collect_data_test._run(
      f"--workdir={tmp_path / 'data'}", f"--policy={policy}"
    )
    assert refused.returncode == 2
    assert word in refused.stderr and "Traceback" not in refused.stderr
