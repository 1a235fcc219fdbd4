"""Dreams of PokeDreamer v2's networks in PyTorch, eager and compiled.

The rival of `benchmark_imagination`, written from the published shapes alone:
a GRU over one-hots and action, a prior, Gumbel-softmax latents and an actor in
the loop; reward, continue and value of all states in one batch after it, which
is kinder than one by one. No gradients are kept. An update is such a batch of
dreams, its returns, and steps of actor and critic: one on all its rows at once,
or PPO's over several epochs of minibatches. Random weights.
PyTorch is an optional extra and is imported when asked.
"""

import dataclasses
import itertools
from typing import Any

from experiments.speed import torch_rival
from experiments.speed import turns


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of the networks, and of the dreams."""

  deter: int
  stoch: int
  classes: int
  hidden: int
  head_units: int
  units: int  # of actor and critic
  length: int  # imagined steps
  update: bool = False  # whether a run is a whole update
  epochs: int = 1  # of an update, and in each
  minibatches: int = 1  # the policy gradient is plain where both are 1
  clip: float = 0.2  # else PPO's: how far a ratio of policies counts

  @property
  def latent(self) -> int:
    return self.stoch * self.classes


class Dreams:
  """What a process of its own is asked: one model, both ways."""

  def __init__(self, sizes: Sizes, threads: int):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    self._torch, self._sizes = torch, sizes
    self._model = _networks(torch, sizes)
    self._step: dict[str, Any] = {"eager": self._one_step}
    self._product: Any = None
    self._optimisers = [
      torch.optim.Adam(self._model[name].parameters(), lr=3e-4)
      for name in ("actor", "critic")
    ]

  def describe(self) -> dict[str, Any]:
    """Version and number of parameters."""
    count = sum(p.numel() for p in self._model.parameters())
    return {"torch": self._torch.__version__, "parameters": count}

  def prepare(self, form: str, dreams: int) -> dict[str, float]:
    """Compiles where it has to and runs twice; the time of the first run."""
    if form == "compiled" and form not in self._step:
      self._step[form] = self._torch.compile(self._one_step)
    first = self.run(form, dreams)
    self.run(form, dreams)
    return {"compile_s": first.wall_s}

  def run(self, form: str, dreams: int) -> turns.Taken:
    """One batch of dreams, or an update by it."""
    with turns.taking() as taken:
      feats, actions, *judged = self._dream(self._step[form], dreams)
      if self._sizes.update:
        self._learn(feats[:-1], actions[1:], *judged)
    return taken

  def _dream(self, step: Any, dreams: int) -> list[Any]:
    """Features `[L, N, F]`, actions that led there, and what heads say."""
    torch, sizes, model = self._torch, self._sizes, self._model
    with torch.no_grad():
      deter = torch.zeros(dreams, sizes.deter)
      stoch = torch.full((dreams, sizes.latent), 1 / sizes.classes)
      feats, actions = [], []
      for _ in range(sizes.length):
        deter, stoch, feat, action = step(deter, stoch)
        feats.append(feat)
        actions.append(action)
      seen = torch.stack(feats)
      judged = [model[name](seen) for name in ("reward", "continue", "critic")]
    return [seen, torch.stack(actions), *judged]

  def _learn(
    self, feats: Any, actions: Any, reward: Any, cont: Any, value: Any
  ) -> None:
    """Lambda returns, and what actor and critic learn by them."""
    torch = self._torch
    reward, value = reward[1:, :, 0], value[..., 0]
    discount = 0.99 * torch.sigmoid(cont[1:, :, 0])
    last, returns = value[-1], []
    for t in reversed(range(len(reward))):
      ahead = 0.05 * value[t + 1] + 0.95 * last
      last = reward[t] + discount[t] * ahead
      returns.append(last)
    # [L, N, ...] -> [L * N, ...], each row as good as any other
    target = torch.stack(returns[::-1]).flatten()
    feats, actions = feats.flatten(0, 1), actions.flatten()
    advantage = target - value[:-1].flatten()
    if self._sizes.epochs == self._sizes.minibatches == 1:
      self._fit(feats, actions, target, advantage, None)
      return
    with torch.no_grad():
      before = self._policy(feats).log_prob(actions)
    for _ in range(self._sizes.epochs):
      order = torch.randperm(len(feats))
      for part in order.chunk(self._sizes.minibatches):
        rows = (feats, actions, target, advantage, before)
        self._fit(*(array[part] for array in rows))

  def _policy(self, feats: Any) -> Any:
    return self._torch.distributions.Categorical(
      logits=self._model["actor"](feats), validate_args=False
    )

  def _fit(
    self, feats: Any, actions: Any, target: Any, advantage: Any, before: Any
  ) -> None:
    """One step of actor and critic on rows `[M, ...]`.

    `before`: log probabilities of the policy that dreamt; None for its own.
    """
    torch, model = self._torch, self._model
    policy = self._policy(feats)
    gained = policy.log_prob(actions)
    if before is None:
      gain = (gained * advantage).mean()
    else:
      ratio, clip = (gained - before).exp(), self._sizes.clip
      near = ratio.clamp(1 - clip, 1 + clip)
      gain = torch.minimum(ratio * advantage, near * advantage).mean()
    mse = torch.nn.functional.mse_loss
    losses = (
      -gain - 3e-3 * policy.entropy().mean(),
      mse(model["critic"](feats)[..., 0], target),
    )
    for name, loss, optimiser in zip(
      ("actor", "critic"), losses, self._optimisers, strict=True
    ):
      optimiser.zero_grad()
      loss.backward()
      torch.nn.utils.clip_grad_norm_(model[name].parameters(), 0.5)
      optimiser.step()

  def product(self, size: int) -> turns.Taken:
    """One product of two float32 matrices `[size, size]`."""
    if self._product is None:
      self._product = self._torch.ones(size, size)
      self._product @ self._product
    with turns.taking() as taken:
      self._product @ self._product
    return taken

  def _one_step(self, deter: Any, stoch: Any) -> Any:
    torch, model, sizes = self._torch, self._model, self._sizes
    one_hot = torch.nn.functional.one_hot
    logits = model["actor"](torch.cat([deter, stoch], -1))
    action = torch.distributions.Categorical(
      logits=logits, validate_args=False
    ).sample()
    hot = one_hot(action, torch_rival.ACTIONS).float()
    deter = model["gru"](torch.cat([stoch, hot], -1), deter)
    prior = model["prior"](deter).view(-1, sizes.stoch, sizes.classes)
    drawn = torch.nn.functional.gumbel_softmax(prior, 1.0, hard=True)
    stoch = drawn.flatten(1)
    return deter, stoch, torch.cat([deter, stoch], -1), action


def _networks(torch: Any, sizes: Sizes) -> Any:
  nn = torch.nn
  feat = sizes.deter + sizes.latent

  def mlp(*units: int) -> Any:
    layers: list[Any] = []
    for before, after in itertools.pairwise(units[:-1]):
      layers += [nn.Linear(before, after), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(*units[-2:]))

  actions = torch_rival.ACTIONS
  return nn.ModuleDict(
    {
      "gru": nn.GRUCell(sizes.latent + actions, sizes.deter),
      "prior": mlp(sizes.deter, sizes.hidden, sizes.latent),
      "reward": mlp(feat, sizes.head_units, 1),
      "continue": mlp(feat, sizes.head_units, 1),
      "actor": mlp(feat, sizes.units, sizes.units, actions),
      "critic": mlp(feat, sizes.units, sizes.units, 1),
    }
  )
