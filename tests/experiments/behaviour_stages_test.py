"""Cloning and policy stages on made-up data: streams, resume, refusals."""

import dataclasses
import signal
import types

import chex
import jax
import numpy as np
import pytest

from data_tools.game import goal_labels
from data_tools.game import goals
from data_tools.game import near_goals
from data_tools.game import roms
from data_tools.records import generations
from data_tools.records import loader
from data_tools.records import shards as shards_lib
from experiments import clone_behaviour
from experiments import train_policy
from experiments.runs import inputs
from experiments.runs import run_directory
from experiments.training import goal_rows
from experiments.training import latents as encoding
from pokedreamer_jax import checkpoints
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import cloning
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from pokedreamer_jax.world_model import model as world_model
from tests.data_tools import fakes as data_fakes
from tests.pokedreamer_jax import fakes

LENGTHS = (70, 30, 50, 40, 20)  # none a multiple of the chunk


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
  """A configuration, a generation, a world model and its run directory."""
  directory = tmp_path_factory.mktemp("made_up")
  config = fakes.config(
    *("latents.streams=2", "latents.chunk=32", "clone.steps=8"),
    *("clone.log_every=3", "clone.save_every=4", "policy.updates=4"),
    "world_model.unimix=1e-9",
  )
  shards = directory / "data" / generations.SHARDS_DIR
  shards.mkdir(parents=True)
  with shards_lib.ShardWriter(shards, "made-up") as writer:
    for number, length in enumerate(LENGTHS):
      name = "random" if number == 3 else "demonstrator:eps=0.1"
      writer.begin(data_fakes.header(number, name))
      for chunk in data_fakes.chunks(_episode(length, number)):
        writer.write(chunk)
      writer.end({})
    writer.commit()
  generation = generations.freeze(directory / "data")
  params = _decided(fakes.params(config.world_model, noise=0.1))
  with run_directory.open_run(
    directory / "world_model", "world_model", config_lib.to_dict(config)
  ) as run:
    store = run.checkpoints()
    store.save(0, {"params": params}, {"step": 0})
    store.close()
  return config, generation, params, directory / "world_model"


def _episode(length, seed):
  rows = fakes.steps(length, seed)
  rows["is_first"][0] = rows["is_last"][-1] = True
  rows["is_terminal"][:] = False
  rows["game_running"][:] = True
  rows["behaviour"][:] = specs.BEHAVIOURS.index(
    "random" if seed == 3 else "demonstrator"
  )
  rows["behaviour"][::7] = specs.BEHAVIOURS.index("random")
  rows["behaviour"][-1] = specs.BEHAVIOURS.index("none")
  rows["action"][-1] = specs.PASS
  return rows


def _decided(params):
  """Posteriors without chance: keys are dealt out differently by chunks."""
  out = params["rssm"]["post_out"]
  first = np.zeros(out["bias"].shape, np.float32)
  first[::4] = 1e3  # the first of four classes
  out = out | {"bias": out["bias"] + first}
  return params | {"rssm": params["rssm"] | {"post_out": out}}


def _open(directory, stage, config):
  return run_directory.open_run(
    directory, stage, config_lib.to_dict(config), clone_behaviour.FREE
  )


def _stop_after(monkeypatch, looks):
  """A stop request that shows from the given look on."""
  count = [0]

  def stop_signal(run):
    count[0] += 1
    return signal.SIGTERM if count[0] > looks else 0

  monkeypatch.setattr(run_directory.Run, "stop_signal", property(stop_signal))


def test_streams_give_every_row_the_state_of_its_own_episode(made_up):
  config, generation, params, _ = made_up
  index = loader.EpisodeIndex(generation, "all")
  key = jax.random.key(0)
  together = encoding.encode(config, params, index, [0, 1, 2, 4], key)
  assert len(together.action) == 70 + 30 + 50 + 20
  # The longest crosses chunks, the other one begins within a chunk.
  places = [0, 1]
  whole = [index.read(p, 0, int(index.lengths[p])) for p in places]
  batch = {
    name: np.stack([_padded(rows[name], 70) for rows in whole])
    for name in whole[0]
  }
  batch["first_action_tm1"] = np.full(2, specs.PASS, np.uint8)
  observe = jax.jit(world_model.observe, static_argnums=0)
  seen = observe(config.world_model, params, key, batch)
  order = _order(together, index)
  starts = np.flatnonzero(together.is_first)
  for number, place in enumerate(places):
    rows = whole[number]
    length = len(rows["action"])
    start = starts[order.index(place)]
    part = latents.take(together, slice(start, start + length))
    state = latents.unpack(config.world_model, part)
    for name in ("action", "behaviour", "visited_maps", "is_last"):
      np.testing.assert_array_equal(getattr(part, name), rows[name])
    np.testing.assert_array_equal(
      state.tokens, seen.state.tokens[number, :length]
    )
    # Exact but for float16 and the order of sums: nothing leaks across
    # chunks, streams or neighbours.
    np.testing.assert_allclose(
      state.deter, seen.state.deter[number, :length], atol=2e-3
    )
    assert np.ptp(np.asarray(state.deter), axis=0).max() > 0.1


def _padded(rows, length):
  return np.pad(rows, [(0, length - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def _order(rows, index):
  """Which episode each run of rows is, by its length."""
  edges = np.append(np.flatnonzero(rows.is_first), len(rows.action))
  return [list(index.lengths).index(n) for n in np.diff(edges)]


def test_episodes_are_chosen_by_behaviour_and_by_budget(made_up):
  config, generation, _, _ = made_up
  index = loader.EpisodeIndex(generation, "all")
  assert encoding.choose_episodes(config, index) == [0, 1, 2, 3, 4]
  names = [header.behaviour for header in index.headers]
  chosen = encoding.choose_episodes(config, index, ["demonstrator"])
  assert [names[i].startswith("demon") for i in chosen] == [True] * 4
  assert encoding.choose_episodes(config, index, ["human", "demon"]) == []
  assert len(encoding.choose_episodes(config, index, ["random", "human"])) == 1
  small = dataclasses.replace(
    config, latents=behaviour_config.LatentsConfig(max_rows=90)
  )
  some = encoding.choose_episodes(small, index)
  assert 0 < index.lengths[some].sum() <= 90
  assert some == encoding.choose_episodes(small, index)


def test_own_play_has_its_share_of_the_rows():
  names = ["demonstrator"] * 6 + ["policy:0a@1:eps=0.1"] * 3 + ["random"] * 3
  index = types.SimpleNamespace(
    headers=[types.SimpleNamespace(behaviour=name) for name in names],
    lengths=np.full(len(names), 10),
  )

  def own(**settings):
    latents = behaviour_config.LatentsConfig(**settings)
    config = dataclasses.replace(config_lib.Config(), latents=latents)
    chosen = encoding.choose_episodes(config, index)
    assert chosen == sorted(set(chosen))
    return len(chosen), sum(names[i].startswith("policy") for i in chosen)

  assert own(max_rows=40, own_share=0.5) == (4, 2)
  assert own(max_rows=60, own_share=1.0) == (6, 3)  # all there are
  assert own(max_rows=200, own_share=0.1) == (12, 3)  # room for everything
  # Without a share they come as they are drawn.
  assert own(max_rows=60)[1] < 3 == own(max_rows=60, own_share=0.5)[1]
  with pytest.raises(ValueError, match=r"latents.own_share: 1.5"):
    behaviour_config.LatentsConfig(own_share=1.5)


def test_clone_stops_and_resumes_to_the_same_bits(
  made_up, tmp_path, monkeypatch
):
  config, generation, params, _ = made_up
  with _open(tmp_path / "whole", "clone", config) as run:
    whole = clone_behaviour.train(config, generation, params, run)
  with monkeypatch.context() as patch:
    with _open(tmp_path / "parts", "clone", config) as run:
      # Chunks of encoding look too; the loop stops after its second block.
      _stop_after(patch, 6)
      with pytest.raises(run_directory.Stopped):
        clone_behaviour.train(config, generation, params, run)
  stopped_at = checkpoints.latest_step(tmp_path / "parts" / "checkpoints")
  assert stopped_at is not None and 0 < stopped_at < config.clone.steps
  with _open(tmp_path / "parts", "clone", config) as run:
    again = clone_behaviour.train(config, generation, params, run)
    assert again == whole
  assert inputs.load_actor(tmp_path / "whole", config)
  for name in ("actor", "opt"):
    chex.assert_trees_all_equal(
      checkpoints.load_item(tmp_path / "whole", name),
      checkpoints.load_item(tmp_path / "parts", name),
    )


def test_a_clone_of_few_rows_sees_the_first_ones_alone(made_up, tmp_path):
  config, generation, params, _ = made_up
  few = dataclasses.replace(
    config, clone=dataclasses.replace(config.clone, max_rows=40)
  )
  with _open(tmp_path / "few", "clone", few) as run:
    assert (
      clone_behaviour.train(few, generation, params, run)["demonstrated_steps"]
      == 40
    )
    numbering = goal_labels.Numbering()
    rows, every = (
      clone_behaviour._demonstrations(
        *(cfg, generation, params, run, numbering, "train")
      )
      for cfg in (few, config)
    )
  assert len(every[1]) > 40
  chex.assert_trees_all_equal(rows, jax.tree.map(lambda leaf: leaf[:40], every))


# Goals that the made-up states have the tokens for.
_KINDS = "map=1,badge=1,catch=1,explore=1"


def _under_goals(config):
  return dataclasses.replace(
    config,
    actor_critic=dataclasses.replace(
      config.actor_critic, reads_goal=True, goal_dim=64
    ),
    goals=behaviour_config.GoalsConfig(
      milestone=0.0, horizon=9, draws=2, kinds=_KINDS
    ),
  )


def _check_cells_nearby(config, index, places, cells, monkeypatch):
  """They are told for the same rows: here each row's own cell, twice."""
  here = lambda self, steps, rng, most, count: [
    [goal_specs.Goal("tile", *map(int, cell))] * count
    for cell in zip(steps["map_id"], steps["y"], steps["x"], strict=True)
  ]
  monkeypatch.setattr(near_goals.NearGoals, "draw", here)
  model = dataclasses.replace(
    config.world_model, tokens="map:256 y:256 x:256 control:2"
  )
  config = dataclasses.replace(config, world_model=model)
  numbering = goal_labels.Numbering()
  walks = goal_rows.goals_nearby(config, index, places, numbering)
  told = [tuple(goal.to_array()[1:].tolist()) for goal in numbering.goals]
  for row, cell in zip(walks.tolist(), cells.T.tolist(), strict=True):
    assert [told[number] for number in row] == [tuple(cell)] * 2
  assert len(numbering.goals) > 2


def test_goals_stand_beside_the_rows_that_reach_them(made_up, monkeypatch):
  config, generation, params, _ = made_up
  config = _under_goals(config)
  index = loader.EpisodeIndex(generation, "all")
  places = [0, 1, 2, 4]
  numbering = goal_labels.Numbering()
  numbers, near = goal_rows.candidates(config, index, places, numbering)
  rows = encoding.encode(config, params, index, places, jax.random.key(0))
  assert numbers.shape == (len(rows.action), 3) and numbers[:, 1:].any()
  order = _order(rows, index)
  begins = np.flatnonzero(rows.is_first)
  for place, begin in zip(order, begins, strict=True):
    steps = index.read(place, 0, int(index.lengths[place]), goals.FIELDS)
    for row in range(len(steps["map_id"])):
      for number in numbers[begin + row, 1:].tolist():
        goal = numbering.goals[number]
        later = goals.reached(steps, goal)[row + 1 : row + 10]
        assert later.any() if number else goal.kind == "none"
  # Neighbours stand on the same cell, and go round all that do.
  cells = np.concatenate(
    [
      np.stack(
        [
          index.read(p, 0, int(index.lengths[p]), (name,))[name]
          for name in ("map_id", "y", "x", "in_battle")
        ]
      )
      for p in order
    ],
    axis=1,
  )
  np.testing.assert_array_equal(cells[:, near], cells)
  assert sorted(near.tolist()) == list(range(len(near)))
  _check_cells_nearby(config, index, places, cells[:3], monkeypatch)
  # Drawn by the episode: beside fewer others it has the same.
  alone = goal_labels.Numbering()
  again, _ = goal_rows.candidates(config, index, [4], alone)
  begin = begins[list(order).index(4)]
  same = numbers[begin : begin + len(again)]
  assert [numbering.goals[n] for n in same.ravel()] == [
    alone.goals[n] for n in again.ravel()
  ]


def test_a_clone_under_goals_is_another_one_and_says_so(made_up, tmp_path):
  config, generation, params, _ = made_up
  config = _under_goals(config)
  with _open(tmp_path / "clone", "clone", config) as run:
    result = clone_behaviour.train(config, generation, params, run)
    assert "different goals" in (run.path / "log.txt").read_text()
  assert np.isfinite(result["loss/clone"])
  agent = inputs.load_agent(tmp_path / "clone")
  kernel = agent.actor_params["Torso_0"]["goal"]["kernel"]
  fresh = cloning.init_state(
    config,
    jax.random.split(jax.random.key(config.seed))[0],
    policy_inputs.size(config),
  ).params["Torso_0"]["goal"]["kernel"]
  assert np.abs(kernel - fresh).max() > 1e-4  # it learned from them
  plain = dataclasses.replace(config, actor_critic=made_up[0].actor_critic)
  with pytest.raises(ValueError, match="'reads_goal': True"):
    inputs.load_actor(tmp_path / "clone", plain)
  lacking = dataclasses.replace(config, goals=behaviour_config.GoalsConfig())
  with pytest.raises(ValueError, match=r"goal.kind: .* lacks"):
    inputs.check_goals(lacking)


# What a policy may be: cloned or not, and fields of it.
_POLICIES = {
  # The critic on records as well.
  "cloned": (True, {"replay_scale": 0.3, "kl_battle": 2.0}),
  "under goals": (True, {"replay_scale": 0.3, "event_starts": 0.5}),
  "from scratch": (False, {}),
  "grpo": (False, {"algorithm": "grpo", "group_size": 4}),
  "reinforce": (False, {"algorithm": "reinforce", "slow_critic_rate": 0.1}),
  "pmpo": (True, {"algorithm": "pmpo"}),
}
# Items of a checkpoint beside those that every policy has.
_MORE = {
  "reinforce": {"slow_critic", "return_scale"},
  "under goals": {"event_reach"},
}


def _policy(config, kind):
  """The configuration, whose update compiles quickly; the clone or None."""
  cloned, fields = _POLICIES[kind]
  config = _under_goals(config) if kind == "under goals" else config
  config = dataclasses.replace(
    config, policy=dataclasses.replace(config.policy, **fields)
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "jit", fakes.jit)
    train_policy._jitted_update(config)  # is kept for this process
  clone = actor_critic.init_actor(
    config.actor_critic, jax.random.key(9), policy_inputs.size(config)
  )
  return config, clone if cloned else None


@pytest.mark.parametrize("kind", _POLICIES)
def test_policy_stops_and_resumes_to_the_same_bits(
  made_up, tmp_path, monkeypatch, kind
):
  config, generation, params, _ = made_up
  config, clone = _policy(config, kind)
  with _open(tmp_path / "whole", "policy", config) as run:
    whole = train_policy.train(config, generation, params, clone, run)
  with monkeypatch.context() as patch:
    with _open(tmp_path / "parts", "policy", config) as run:
      _stop_after(patch, 5)
      with pytest.raises(run_directory.Stopped):
        train_policy.train(config, generation, params, clone, run)
  with _open(tmp_path / "parts", "policy", config) as run:
    again = train_policy.train(config, generation, params, clone, run)
    assert again == whole
  step = tmp_path / "parts" / "checkpoints" / str(config.policy.updates)
  found = {path.name for path in step.iterdir() if path.is_dir()}
  more = _MORE.get(kind, set())
  # Without more, as before there were other algorithms.
  assert found == {"actor", "critic", "opt", "world_model", "loop", *more}
  opt = checkpoints.load_item(tmp_path / "parts", "opt")
  assert set(opt) == {"actor_opt", "critic_opt", "update"}
  for name in ("actor", "critic", "opt", *more):
    chex.assert_trees_all_equal(
      checkpoints.load_item(tmp_path / "whole", name),
      checkpoints.load_item(tmp_path / "parts", name),
    )
  agent = inputs.load_agent(tmp_path / "parts")
  assert agent.config == config
  chex.assert_trees_all_equal(agent.world_params, params)


@pytest.mark.parametrize("kind", ["under goals", "pmpo"])
def test_a_dream_without_numbers_ends_the_policy(made_up, tmp_path, kind):
  config, generation, params, _ = made_up
  config, clone = _policy(config, kind)
  params = params | {"reward": jax.tree.map(_spoilt, params["reward"])}
  with _open(tmp_path, "policy", config) as run:
    with pytest.raises(run_directory.Failed, match=r"imagined.* not finite"):
      train_policy.train(config, generation, params, clone, run)
  assert checkpoints.latest_step(tmp_path / "checkpoints") is None


def _spoilt(leaf):
  return np.full(leaf.shape, np.nan, np.float32)


def test_no_demonstrator_is_said_plainly(made_up, tmp_path):
  config, _, params, _ = made_up
  data_fakes.write(tmp_path / "data", "random", [(0, 40, "random")])
  generation = generations.freeze(tmp_path / "data")
  with _open(tmp_path / "clone", "clone", config) as run:
    with pytest.raises(ValueError, match="no steps of demonstrator,human"):
      clone_behaviour.train(config, generation, params, run)


@pytest.mark.parametrize("sources", ["human", None])
def test_what_people_played_is_cloned_too(made_up, tmp_path, sources):
  config, _, params, _ = made_up
  shards = tmp_path / "data" / generations.SHARDS_DIR
  shards.mkdir(parents=True)
  players = ["human"] * 4 + ["demonstrator:eps=0.1"] * 3 + ["random"]
  with shards_lib.ShardWriter(shards, "made-up") as writer:
    for number, name in enumerate(players):
      rows = _episode(30, 10 + number)
      chosen = rows["behaviour"] == specs.BEHAVIOURS.index("demonstrator")
      kind = specs.BEHAVIOURS.index(name.split(":")[0])
      rows["behaviour"][chosen] = kind
      writer.begin(data_fakes.header(number, name))
      for chunk in data_fakes.chunks(rows):
        writer.write(chunk)
      writer.end({})
    writer.commit()
  generation = generations.freeze(tmp_path / "data")
  if sources is not None:
    clone = dataclasses.replace(config.clone, sources=sources)
    config = dataclasses.replace(config, clone=clone)
  cloned = {sources} if sources else {"demonstrator", "human"}
  expected = 0
  for _, rows in loader.EpisodeIndex(generation, "train").episodes():
    names = [specs.BEHAVIOURS[number] for number in rows["behaviour"][:-1]]
    expected += sum(name in cloned for name in names)
  with _open(tmp_path / "clone", "clone", config) as run:
    result = clone_behaviour.train(config, generation, params, run)
    assert result["demonstrated_steps"] == expected > 0


def test_an_actor_of_other_sizes_is_refused(made_up, tmp_path):
  config, _, _, _ = made_up
  with _open(tmp_path, "clone", config):
    pass
  other = dataclasses.replace(
    config, actor_critic=behaviour_config.ActorCriticConfig(units=7)
  )
  with pytest.raises(ValueError, match=r"'units': 32.*'units': 7"):
    inputs.load_actor(tmp_path, other)


def test_a_world_model_without_checkpoint_is_refused(made_up, tmp_path):
  *_, directory = made_up
  assert inputs.fingerprint(directory)["step"] == 0
  with pytest.raises(ValueError, match="not a run directory"):
    inputs.fingerprint(tmp_path)
  (tmp_path / "config.json").write_text("{}")
  with pytest.raises(ValueError, match="no checkpoint"):
    inputs.fingerprint(tmp_path)


def test_another_rom_is_refused_or_remarked(made_up, tmp_path):
  config, generation, _, _ = made_up
  record = config_lib.to_dict(config) | inputs.describe(generation)
  assert record["roms"] == ["0" * 40]
  with run_directory.open_run(tmp_path / "clone", "clone", record):
    pass
  rom = roms.resolve(None)
  same = dataclasses.replace(rom, sha1="0" * 40)
  assert inputs.check_rom(tmp_path / "clone", same) == ""
  with pytest.raises(ValueError, match=f"{'0' * 40}.*{rom.sha1}.*other_rom"):
    inputs.check_rom(tmp_path / "clone", rom)
  note = inputs.check_rom(tmp_path / "clone", rom, other_rom=True)
  assert "0" * 40 in note and rom.sha1 in note
  unknown = dataclasses.replace(rom, kind=roms.UNKNOWN)
  with pytest.raises(ValueError, match="memory variables, which cannot"):
    inputs.check_rom(tmp_path / "clone", unknown)
