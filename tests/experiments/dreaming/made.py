"""A small model, a stepper and a game without an emulator, for the tests."""

import functools

import jax
import numpy as np

from data_tools.game import roms
from experiments.dreaming import beliefs
from experiments.dreaming import models
from experiments.dreaming import session as session_lib
from experiments.dreaming.game import Gone
from experiments.dreaming.game import Start
from experiments.runs import json_store
from pokedreamer_jax import checkpoints
from pokedreamer_jax import specs
from pokedreamer_jax import whole_files
from pokedreamer_jax.behaviour import dream_play
from pokedreamer_jax.behaviour import policy_inputs
from pokedreamer_jax.config import run as config_lib
from pokedreamer_jax.networks import actor_critic
from tests.pokedreamer_jax import fakes


@functools.cache
def model(policy=True) -> models.Model:
  """A model that knows nothing, and yet decides."""
  cfg = fakes.config()
  params = dream_play.Params(fakes.params(cfg.world_model, 0.3))
  if policy:
    size = policy_inputs.size(cfg)
    make = (actor_critic.init_actor, actor_critic.init_critic)
    actor, critic = (
      init(cfg.actor_critic, jax.random.key(i), size)
      for i, init in enumerate(make)
    )
    params = params.replace(actor=actor, critic=critic)
  return models.Model(cfg, params, "small@1")


@functools.cache
def stepper(policy=True) -> models.Stepper:
  """Compiled in a hurry, once for all tests of a process."""
  made = models.Stepper(model(policy), players=3)
  made.warm_up()
  return made


@functools.cache
def rom() -> roms.Rom:
  return roms.resolve("chapter_one")


def reader() -> beliefs.Reader:
  return beliefs.Reader(model(), rom())


class Game:
  """Rows that depend on the buttons alone, in this process."""

  def __init__(self):
    self.lost = False
    self.actions = b""
    self.entered = []  # what was asked of `enter`

  def begin(self, start, save_state):
    del save_state
    self._seed = start.seed
    self.actions = b""
    return self._row()

  def step(self, action):
    if self.lost:
      raise Gone("the game's process died")
    self.actions += bytes([action])
    return self._row()

  def enter(self, actions):
    if self.lost:
      raise Gone("the game's process died")
    self.entered.append(actions)
    self.actions = bytes(actions)
    return self._row()

  def choose(self, seed):
    del seed
    return len(self.actions) % specs.NUM_ACTIONS

  def close(self):
    self.lost = True

  def _row(self):
    rows = fakes.steps(1, self._seed + 1 + sum(self.actions) % 97)
    rows["is_first"][:] = not self.actions
    rows["game_running"][:] = True
    return {name: value[0] for name, value in rows.items()}


class Player:
  """A session and its game, run without a clock."""

  def __init__(self, luck=0, policy=True, start=None):
    start = start or Start()
    self.stepper, self.game = stepper(policy), Game()
    self.session = session_lib.Session(
      self.stepper, reader(), rom().sha1, start, luck
    )
    row = self.game.begin(start, None)
    self.session.began(self.run(self.session.begin(row)), row)

  def run(self, work):
    return self.stepper.run([work])[0]

  def press(self, action, by="person", sees=True):
    session = self.session
    session.pressed(self.run(session.press(action)), action, by)
    if sees:
      self.see()
    return session.here

  def see(self):
    for moment in self.session.missing():
      row = self.game.enter(self.session.buttons(moment))
      self.session.saw(self.run(self.session.see(row, moment)), row, moment)

  def follow(self):
    return self.session.followed(self.run(self.session.follow()))


def frames(session):
  """Frames of the dream from the start to where one stands."""
  return session.clip(10_000)[0]


def same(one, other):
  return one.shape == other.shape and np.array_equal(one, other)


def run_of(folder, stage="policy"):
  """A run directory of the small model, as its trainer would leave it."""
  whole = model()
  store = checkpoints.Store(folder / "checkpoints")
  params = whole.params
  items = {"params": params.world}
  if stage != "world_model":
    items = {"world_model": params.world, "actor": params.actor}
  if stage == "policy":
    items["critic"] = params.critic
  store.save(5, items, {"step": 5})
  store.wait()
  store.close()
  values = {
    "stage": stage,
    **config_lib.to_dict(whole.config),
    "roms": [rom().sha1],
  }
  json_store.write_json(folder / "config.json", whole_files.seal(values))
  start = {
    "command": f"python -m experiments.train_policy --workdir={folder}",
    "commit": "0123456789ab",
    "devices": ["cpu: any"],
  }
  json_store.write_json(folder / "meta.json", {"starts": [start]})
  return folder
