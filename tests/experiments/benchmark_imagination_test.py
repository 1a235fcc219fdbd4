"""Turns, intervals and comparisons; and a round of a small model."""

import json

from absl import flags
from absl.testing import flagsaver
import numpy as np
import pytest

from experiments import benchmark_imagination
from experiments.speed import dream_jobs
from experiments.speed import torch_dreams
from experiments.speed import turns
from pokedreamer_jax.config import presets

_MACHINE = {"cpu": "c", "processors": 2, "cores_used": 1, "device": "cpu"}
_SIZES = {"deter": 512, "dtype": "float32"}


def _timings(**seconds):
  return {name: turns.summary(taken) for name, taken in seconds.items()}


def _run(**seconds):
  return {"machine": _MACHINE, "sizes": _SIZES, "timings": _timings(**seconds)}


def _around(median, rounds=9):
  spread = np.linspace(0.98, 1.02, rounds)
  return (median * spread).tolist()


def test_a_slower_form_is_told_and_a_busier_machine_is_not():
  then = _run(
    **{turns.PEAK: _around(0.1)}, same=_around(1.0), slow=_around(1.0)
  )
  # Everything takes twice as long today, and one thing three times.
  now = _timings(
    **{turns.PEAK: _around(0.2)}, same=_around(2.0), slow=_around(3.0)
  )
  same, slow = turns.changes(then, now)
  assert same.startswith("same: as before, 1.00")
  assert slow.startswith("slow: SLOWER, 1.50")
  fast = turns.changes(
    then,
    _timings(**{turns.PEAK: _around(0.1)}, slow=_around(0.5), new=_around(1.0)),
  )
  assert fast[0].startswith("slow: faster, 0.50")
  assert fast[1:] == [
    "new: not in the recorded run",
    "same: recorded, not measured now",
  ]


def test_noise_is_no_change():
  rng = np.random.default_rng(0)
  wide = lambda: rng.uniform(0.5, 1.5, 7).tolist()
  (line,) = turns.changes(_run(form=wide()), _timings(form=wide()))
  assert "as before" in line


@pytest.mark.parametrize(
  ("machine", "sizes", "named"),
  [
    ({"cpu": "other"}, {}, "machine.cpu was 'c', here it is 'other'"),
    ({}, {"deter": 256}, "sizes.deter was 512, here it is 256"),
  ],
)
def test_another_machine_and_other_sizes_are_refused(machine, sizes, named):
  here = {"machine": _MACHINE | machine, "sizes": _SIZES | sizes}
  with pytest.raises(ValueError, match=named):
    turns.check("f.json", _run(), here)
  turns.check("f.json", _run(), {"machine": _MACHINE, "sizes": _SIZES})


def test_what_is_no_recorded_run_is_refused(tmp_path):
  path = tmp_path / "old.json"
  path.write_text('{"rows": []}')
  with pytest.raises(ValueError, match=r"--compare=.*no 'machine'"):
    turns.read(str(path))


def test_ratios_are_of_the_same_round():
  # Round two was slow for both: the ratio stays.
  found = turns.ratio([1.0, 4.0, 2.0], [2.0, 8.0, 4.0])
  assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (2, 2, 2)


@pytest.mark.parametrize("text", ["torch", "dense,fast"])
def test_unknown_rivals_are_named(text):
  with pytest.raises(ValueError, match="--against"):
    benchmark_imagination._against(text)


def test_dense_and_rows_dream_and_judge_the_same():
  import jax

  config = presets.make("debug", ["policy.horizon=3"])
  params = dream_jobs._params(config, "")
  # Heads that start at zero would agree whatever they read.
  loud = jax.tree.map(
    lambda leaf: leaf + 0.1 if leaf.dtype == "float32" else leaf, params
  )
  actor, critic = dream_jobs._policies(config)
  critic = jax.tree.map(lambda leaf: leaf + 0.1, critic)
  key = jax.random.key(2)
  rows, dense = (
    jax.jit(dream_jobs.make(config, 4, form))(loud, actor, critic, key)
    for form in (False, True)
  )
  for found, expected in zip(rows, dense, strict=True):
    assert np.ptp(np.asarray(expected)) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ("preset", "override", "named"),
  [
    ("v2", "seed=0", "world_model.family: 'v2'"),
    ("debug", "policy.replay_scale=1", "policy.replay_scale=0"),
  ],
)
def test_updates_that_are_not_made_here_are_refused(preset, override, named):
  with pytest.raises(ValueError, match=named):
    benchmark_imagination._check_update(presets.make(preset, [override]))


def test_an_update_is_one_of_actor_and_critic():
  import jax

  config = presets.make(
    "debug", ["policy.horizon=3", "policy.epochs=1", "policy.minibatches=1"]
  )
  state = dream_jobs._fresh_state(config)
  update = jax.jit(dream_jobs.make_update(config, 4))
  params = dream_jobs._params(config, "")
  after, metrics = update(params, state, jax.random.key(3))
  assert int(after.update) == config.policy.critic_warmup + 1
  moved = lambda a, b: any(
    (one != other).any()
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )
  # The actor's entropy alone moves it: all else is zero in a fresh model.
  assert moved(after.actor, state.actor) and moved(after.critic, state.critic)
  assert np.isfinite(metrics["loss/actor"])


@pytest.mark.parametrize(
  ("update", "override", "named"),
  [
    (False, "seed=0", "expected --update"),
    (True, "policy.algorithm=reinforce", "'reinforce', --rival_passes expects"),
  ],
)
def test_passes_of_a_rival_that_has_none_are_refused(update, override, named):
  config = presets.make("debug", [override])
  with pytest.raises(ValueError, match=named):
    benchmark_imagination._check_passes(config, update)


@pytest.mark.parametrize("passes", [False, True])
def test_the_rival_takes_as_many_steps_as_it_is_told(passes, monkeypatch):
  pytest.importorskip("torch", reason="PyTorch is an optional extra")
  config = presets.make(
    "debug",
    ["policy.horizon=4", "policy.epochs=3", "policy.minibatches=2"],
  )
  sizes = benchmark_imagination._rival(config, True, passes)
  rival = torch_dreams.Dreams(sizes, 1)
  steps, fit = [], rival._fit
  monkeypatch.setattr(
    rival, "_fit", lambda *rows: steps.append(len(rows[0])) or fit(*rows)
  )
  before = [p.clone() for p in rival._model["actor"].parameters()]
  assert rival.run("eager", 6).wall_s > 0
  rows = 3 * 6  # from the second imagined state on
  assert steps == ([rows // 2] * 6 if passes else [rows])
  after = rival._model["actor"].parameters()
  assert all((a != b).any() for a, b in zip(after, before, strict=True))


@pytest.mark.slow  # it compiles without a cache, to tell how long that takes
def test_a_run_is_compared_with_itself(tmp_path, capsys):
  flags.FLAGS.mark_as_parsed()
  path = tmp_path / "speed.json"
  given = {
    "preset": "debug",
    "batch_sizes": "4",
    "rounds": 3,
    "against": "dense",
  }
  with flagsaver.flagsaver(json=str(path), **given):
    benchmark_imagination.main()
  result = json.loads(path.read_text())
  assert [row["form"] for row in result["rows"]] == ["rows", "dense"]
  assert result["sizes"]["horizon"] == 5
  assert len(result["timings"]["dense, 4 dreams"]["seconds"]) == 3
  with flagsaver.flagsaver(compare=str(path), json="", **given):
    benchmark_imagination.main()
  said = capsys.readouterr().out
  assert "rows, 4 dreams:" in said and "times the recorded time" in said
