"""Policies under goals: which goal is drawn, what dreams are paid, learning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pokedreamer_jax import goal_embeddings
from pokedreamer_jax import goal_specs
from pokedreamer_jax import specs
from pokedreamer_jax.behaviour import acting
from pokedreamer_jax.behaviour import dream_rows
from pokedreamer_jax.behaviour import dreams
from pokedreamer_jax.behaviour import goal_draws
from pokedreamer_jax.behaviour import goals
from pokedreamer_jax.behaviour import latents
from pokedreamer_jax.behaviour import objectives
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.behaviour import policy_state
from pokedreamer_jax.behaviour import policy_update
from pokedreamer_jax.config import behaviour as behaviour_config
from pokedreamer_jax.networks import actor_critic
from tests.pokedreamer_jax import fakes
from tests.pokedreamer_jax.behaviour import toys

_ROWS = 20_000


def _cfg(**fields):
  return behaviour_config.GoalsConfig(**fields)


def test_a_row_draws_its_own_candidates_in_the_shares_asked_for():
  row = np.arange(_ROWS)
  number = jnp.asarray(np.stack([row * 4 + c for c in (1, 2, 3)], axis=1))
  drawn = np.asarray(
    goal_draws.draw(_cfg(none=0.3, milestone=0.5), jax.random.key(0), number)
  )
  given = drawn[drawn > 0]
  np.testing.assert_array_equal(given // 4, row[drawn > 0])
  assert abs((drawn == 0).mean() - 0.3) < 0.02
  assert abs((given % 4 == 1).mean() - 0.5 / 0.7) < 0.02
  # Hindsight goals are drawn alike.
  rest = given[given % 4 > 1] % 4
  assert abs((rest == 2).mean() - 0.5) < 0.03
  # A candidate that is none is no goal.
  nothing = goal_draws.draw(_cfg(), jax.random.key(1), jnp.zeros_like(number))
  assert not np.asarray(nothing).any()


def test_some_dreams_get_the_goal_of_a_neighbour():
  number = jnp.tile(jnp.arange(1, _ROWS + 1)[:, None], (1, 3))
  candidates = goal_draws.Candidates(
    number, jnp.arange(_ROWS)[::-1], goals.table([goal_specs.NONE])
  )
  rows = np.arange(0, _ROWS, 2)
  draw = lambda other: np.asarray(
    goal_draws.draw_for_dreams(
      _cfg(none=0.0, other=other), jax.random.key(0), candidates, rows
    )
  )
  drawn = draw(0.2)
  near = drawn != rows + 1
  assert abs(near.mean() - 0.2) < 0.02
  np.testing.assert_array_equal(drawn[near], _ROWS - rows[near])
  np.testing.assert_array_equal(draw(0.0), rows + 1)


def test_some_dreams_get_a_cell_nearby():
  number = jnp.ones((_ROWS, 3), jnp.int32)
  walks = np.arange(_ROWS)[:, None] * 2 + np.array([10, 11])
  walks[::4] = 0  # nobody walked on from there
  candidates = goal_draws.Candidates(
    number,
    jnp.arange(_ROWS),
    goals.table([goal_specs.NONE]),
    walks=jnp.asarray(walks),
  )
  rows = np.arange(0, _ROWS, 2)
  draw = lambda walks: np.asarray(
    goal_draws.draw_for_dreams(
      _cfg(none=0.0, walks=walks), jax.random.key(0), candidates, rows
    )
  )
  drawn = draw(0.6)
  near = drawn != 1
  assert abs(near.mean() - 0.6 / 2) < 0.02
  assert not near[rows % 4 == 0].any()
  np.testing.assert_array_equal((drawn[near] - 10) // 2, rows[near])
  assert abs((drawn[near] % 2).mean() - 0.5) < 0.03  # both alike
  assert (draw(0.0) == 1).all()


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"none": 0.8, "milestone": 0.3}, "goals.milestone: 0.3"),
    ({"kinds": "map=1,map=2"}, "goals.kinds: 'map=2'"),
    ({"kinds": "fly=1"}, "goals.kinds: 'fly=1'"),
    ({"kinds": "map"}, "goals.kinds: 'map'"),
    ({"kinds": "map=nan"}, "goals.kinds: 'map=nan'"),
    ({"reward": 0.0}, "goals.reward: 0.0"),
    ({"horizon": 0}, "horizon: 0"),
    ({"walks": 1.5}, "goals.walks: 1.5"),
    ({"walk_steps": 0}, "walk_steps: 0"),
  ],
)
def test_bad_settings_are_named(fields, named):
  with pytest.raises(ValueError, match=named):
    _cfg(**fields)


def test_a_goal_has_room_in_what_is_read():
  with pytest.raises(ValueError, match="goal_dim: 8"):
    behaviour_config.ActorCriticConfig(reads_goal=True, goal_dim=8)
  with pytest.raises(ValueError, match=r"actor_critic.reads_offset: True"):
    behaviour_config.ActorCriticConfig(reads_offset=True)


@dataclasses.dataclass
class _Dreams:
  cont: jax.Array
  pursues: jax.Array
  success: jax.Array


def test_a_dream_is_paid_for_its_goal_alone_and_ends_there():
  cfg = fakes.config("goals.reward=2.0")
  cont = jnp.full((3, 2), 0.9)
  success = jnp.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
  reward = jnp.full((3, 2), 5.0)
  paid, going = objectives.under_goals(
    cfg, _Dreams(cont, jnp.array([True, False]), success), reward
  )
  np.testing.assert_allclose(paid[:, 0], [0.0, 2.0, 0.0])
  np.testing.assert_allclose(going[:, 0], [0.9, 0.0, 0.9])
  np.testing.assert_allclose(paid[:, 1], 5.0)  # the objective's own
  np.testing.assert_allclose(going[:, 1], 0.9)


def _experience(cfg, table):
  rng = np.random.default_rng(0)

  def fill(leaf):
    shape = (40, *leaf.shape[1:])
    if leaf.dtype == jnp.uint8:
      return rng.integers(0, 8, shape).astype(np.uint8)
    return rng.normal(size=shape).astype(leaf.dtype)

  rows = jax.tree.map(
    lambda leaf: jnp.asarray(fill(leaf)), latents.empty(cfg.world_model)
  )
  number = jnp.asarray(rng.integers(0, len(table.goals), (40, 5)), jnp.int32)
  return dreams.Experience(
    rows,
    jnp.arange(40),
    goal_draws.Candidates(number, jnp.arange(40)[::-1], table),
  )


def test_a_dream_keeps_its_goal_and_siblings_share_one():
  cfg = fakes.config(
    *("policy.starts=8", "policy.horizon=3", "policy.algorithm=grpo"),
    *("policy.group_size=4", "actor_critic.goal_dim=64"),
    *("actor_critic.reads_goal=true", "goals.none=0.2", "goals.other=0.5"),
  )
  asked = [goal_specs.NONE, *(goal_specs.Goal("map", n) for n in range(6))]
  table = goals.table(asked)
  starts = _experience(cfg, table)
  world = fakes.params(cfg.world_model, noise=0.1)
  seen = {}

  def policy_fn(key, inputs):
    seen["goal"] = actor_critic.parts(cfg.actor_critic, inputs)[1]
    return jax.random.randint(key, (len(inputs),), 0, specs.NUM_ACTIONS)

  dream = fakes.jit(
    lambda key: dreams.make_dream_fn(cfg)(world, key, starts, policy_fn)
  )
  rollout = dream(jax.random.key(3))
  assert seen["goal"].shape == (8, goal_embeddings.DIM)
  assert rollout.feat.shape[-1] == policy_inputs.size(cfg)
  vectors = np.asarray(rollout.feat)[..., -goal_embeddings.DIM :]
  np.testing.assert_array_equal(
    vectors, np.broadcast_to(vectors[:1], (4, 8, 64))
  )
  np.testing.assert_array_equal(vectors[0, :4], np.repeat(vectors[0, :1], 4, 0))
  # The goal that is read is the goal that is judged.
  number = [
    int(np.argmax((np.asarray(table.embeddings) == v[None]).all(-1)))
    for v in vectors[0]
  ]
  np.testing.assert_array_equal(rollout.pursues, np.array(number) > 0)
  sizes = cfg.world_model.token_sizes
  hot = rollout.feat[:, :, : cfg.world_model.feat_dim]
  hot = hot[..., -sum(sizes.values()) :]
  first = list(sizes).index("map")
  begin = sum(list(sizes.values())[:first])
  maps = np.asarray(hot[..., begin : begin + sizes["map"]].argmax(-1))
  at_first, here = maps[0], maps[1:]
  running = np.asarray(rollout.success).any() or (here > 0).any()
  wanted = np.array([asked[n].map_id if n else -1 for n in number])
  hits = (here == wanted) & (here > 0)
  np.testing.assert_array_equal(np.asarray(rollout.success)[hits], 1.0)
  assert running
  # Nobody is asked for what holds where the dream starts.
  assert not ((at_first == wanted) & (at_first > 0)).any()
  assert not np.asarray(rollout.success)[here != wanted].any()


def test_where_a_dream_ends_values_of_goals_are_believed():
  cfg = dataclasses.replace(
    toys.config(gamma=0.9, horizon=2, starts=3, minibatches=1),
    actor_critic=behaviour_config.ActorCriticConfig(
      units=8, bins=21, reads_goal=True
    ),
  )
  size = toys.CELLS + goal_embeddings.DIM
  state = policy_state.init_state(cfg, jax.random.key(0), size)
  zeros = jnp.zeros((2, 3, specs.NUM_REWARD_TERMS))
  rollout = toys.Pursued(
    feat=jnp.zeros((3, 3, size)),
    action=jnp.zeros((2, 3), jnp.int32),
    reward_terms=zeros,
    cont=jnp.ones((2, 3)),
    earned=zeros[0],
    pursues=jnp.array([True, True, False]),
    success=jnp.zeros((2, 3)),
    worth=jnp.array([0.5, jnp.nan, 0.5]),
  )
  rows, _, _ = dream_rows.judge(cfg, state, rollout, None)
  # A fresh critic says 0; of the last dream the objective is asked.
  returns = np.asarray(rows.returns).reshape(2, 3)
  np.testing.assert_allclose(returns[1], [0.45, 0.0, 0.0], atol=1e-4)
  assert returns[0, 0] > 0.3


def test_values_of_another_discount_are_made_the_policys(monkeypatch):
  cfg = fakes.config("goals.reward=2.0")
  asked = [goal_specs.NONE, goal_specs.Goal("heal"), goal_specs.Goal("talk")]
  starts = dataclasses.replace(
    _experience(cfg, goals.table(asked)),
    values=dreams.GoalValues(
      params=None,
      number=jnp.array([-1, 4, -1]),
      power=jnp.log(0.99) / jnp.log(0.97),
    ),
  )

  def bootstrap(cfg, params, number, inputs):
    del cfg, params, inputs
    return jnp.where(number == 4, 0.97**3, jnp.nan)

  monkeypatch.setattr(dreams.all_goals, "bootstrap", bootstrap)
  worth = dreams._worth(cfg, starts, jnp.array([1, 2, 0]), jnp.zeros((3, 4)))
  np.testing.assert_allclose(worth, [2 * 0.99**3, np.nan, np.nan], rtol=1e-5)
  alone = dataclasses.replace(starts, values=None)
  assert dreams._worth(cfg, alone, jnp.array([1]), jnp.zeros((1, 4))) is None


def test_an_agent_pursues_what_it_is_given():
  cfg = fakes.config("actor_critic.goal_dim=64", "actor_critic.reads_goal=true")
  state = acting.init_state(cfg.world_model, 2)
  assert not np.asarray(state.goal).any()
  goal = goal_embeddings.embed_goals([goal_specs.Goal("heal")] * 2)
  state = acting.pursuing(cfg, state, goal)
  read = policy_inputs.read(cfg, state.model, state.progress, state.goal)
  np.testing.assert_array_equal(read[:, -64:], goal)
  with pytest.raises(ValueError, match="was not trained under goals"):
    acting.pursuing(fakes.config(), state, goal)


def test_one_policy_learns_two_goals_and_stops_at_each():
  cfg = dataclasses.replace(
    toys.config(updates=60, horizon=8, starts=64, gamma=0.9),
    actor_critic=behaviour_config.ActorCriticConfig(
      units=32, bins=21, reads_goal=True
    ),
  )
  dream_fn = toys.two_ends(cfg)
  size = toys.CELLS + goal_embeddings.DIM
  state = policy_state.init_state(cfg, jax.random.key(0), size)
  update = jax.jit(policy_update.make_update(cfg, dream_fn))
  for _ in range(cfg.policy.updates):
    state, metrics = update(state, jax.random.key(1), None, None, None)
  inputs = jnp.stack(
    [toys.two_ends_inputs(jnp.arange(toys.CELLS), end) for end in (0, 1)]
  )
  right = jnp.exp(
    actor_critic.actor_logits(cfg.actor_critic, state.actor, inputs)
  )[..., toys.RIGHT]
  assert (np.asarray(right[0, 1:]) < 0.2).all()
  assert (np.asarray(right[1, :-1]) > 0.8).all()
  assert metrics["imagined/goals"] > 0.5
  assert metrics["imagined/goals_reached"] > 0.9
  # Worth the time that it takes: gamma for each step before the last.
  value = toys.values(cfg, state, inputs[1])
  far = np.arange(toys.CELLS - 3, -1, -1)  # of the cells that dreams start in
  np.testing.assert_allclose(value[1:-1], 0.9**far, atol=0.15)


def test_kinds_are_drawn_alike_and_rows_among_those_that_reached_one():
  # Goals 1 and 2 are maps, 3 a badge; row 4 is none to start from.
  asked = [
    goal_specs.NONE,
    goal_specs.Goal("map", 1),
    goal_specs.Goal("map", 2),
    goal_specs.Goal("badge"),
  ]
  number = np.array(
    [[3, 0, 0], [0, 1, 1], [0, 1, 2], [2, 0, 0], [0, 3, 3], [0, 3, 1]], np.int32
  )
  pairs = goal_draws.pair_up(
    number, np.array([0, 1, 2, 3, 5]), goals.table(asked)
  )
  known = set(zip(pairs.row.tolist(), pairs.number.tolist(), strict=True))
  assert known == {(1, 1), (2, 1), (2, 2), (5, 1), (5, 3)}
  rows, drawn = goal_draws.draw_even(jax.random.key(0), pairs, 4000)
  rows, drawn = np.asarray(rows), np.asarray(drawn)
  assert set(zip(rows.tolist(), drawn.tolist(), strict=True)) == known
  # The one pair of a badge as often as the four of maps; 5 deviations.
  assert abs((drawn == 3).mean() - 0.5) < 0.04
  assert abs(((rows == 2) & (drawn == 2)).mean() - 0.125) < 0.027
  nothing = np.zeros((3, 3), np.int32)
  assert goal_draws.pair_up(nothing, np.arange(3), goals.table(asked)) is None


def test_even_dreams_start_where_their_goal_was_reached():
  cfg = fakes.config(
    *("policy.starts=16", "policy.horizon=2", "goals.even=1"),
    *("actor_critic.goal_dim=64", "actor_critic.reads_goal=true"),
  )
  table = goals.table(
    [goal_specs.NONE, *(goal_specs.Goal("map", n) for n in range(6))]
  )
  starts = _experience(cfg, table)
  number = np.zeros((40, 3), np.int32)
  number[[7, 9], 1] = 1, 2
  pairs = goal_draws.pair_up(number, np.arange(40), table)
  starts = starts.replace(goals=starts.goals.replace(pairs=pairs))
  row, event, drawn = dreams._draw(cfg, jax.random.key(0), starts)
  assert event is None
  found = set(zip(row.tolist(), drawn.tolist(), strict=True))
  assert found == {(7, 1), (9, 2)}
