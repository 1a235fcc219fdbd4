"""PokeDreamer v2's world model and one training step in PyTorch.

The rival of `benchmark_training`, written from the published shapes alone. It
needs PyTorch, an optional extra, and imports it when asked; nothing else in
the project does. Frames are given as float32 RGB that lie in memory already,
which spares it the conversion that our update makes for itself.
"""

import importlib.util
import itertools
from typing import Any

LATENT = 32 * 32
FEATURES = 512 + LATENT
ACTIONS = 8


def installed() -> bool:
  """Whether PyTorch is there."""
  return importlib.util.find_spec("torch") is not None


class TrainStep:
  """Model, optimiser and one fixed batch; `run` trains on it once."""

  def __init__(
    self, batch_size: int, seq_len: int, threads: int, compiled: bool = False
  ):
    """Builds everything with random weights and a random batch.

    Args:
      batch_size: windows.
      seq_len: frames of a window.
      threads: that PyTorch may use.
      compiled: the loss by `torch.compile`, which needs a C++ compiler.
    """
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    self._torch = torch
    self.version = torch.__version__
    self._model = _world_model(torch)
    self.parameters = sum(p.numel() for p in self._model.parameters())
    self._optimiser = torch.optim.Adam(self._model.parameters(), lr=3e-4)
    lead = (batch_size, seq_len)
    self._frames = torch.rand(*lead, 3, 144, 160)
    actions = torch.randint(ACTIONS, lead)
    self._actions = torch.nn.functional.one_hot(actions, ACTIONS).float()
    self._rewards = torch.zeros(lead)
    self._continues = torch.ones(lead)
    self._loss_fn = torch.compile(self._loss) if compiled else self._loss

  def run(self) -> float:
    """One update; the loss."""
    self._optimiser.zero_grad()
    loss = self._loss_fn()
    loss.backward()
    clip = self._torch.nn.utils.clip_grad_norm_
    clip(self._model.parameters(), 10.0)
    self._optimiser.step()
    return float(loss.detach())

  def _loss(self) -> Any:
    torch, model = self._torch, self._model
    batch, rows = self._actions.shape[:2]
    embed = model["encoder"](self._frames.flatten(0, 1)).view(batch, rows, -1)
    deter = torch.zeros(batch, 512)
    stoch = torch.full((batch, LATENT), 1 / 32)
    features, priors, posts = [], [], []
    for t in range(rows):
      known = torch.cat([stoch, self._actions[:, t]], -1)
      deter = model["gru"](known, deter)
      prior = model["prior"](deter)
      post = model["post"](torch.cat([deter, embed[:, t]], -1))
      logits = post.view(batch, 32, 32)
      stoch = torch.nn.functional.gumbel_softmax(logits, 1.0, hard=True)
      stoch = stoch.flatten(1)
      features.append(torch.cat([deter, stoch], -1))
      priors.append(prior.view(batch, 32, 32))
      posts.append(logits)
    feature = torch.stack(features, 1)
    decoded = model["decoder"](feature.flatten(0, 1))
    reward = model["reward"](feature)[..., 0]
    cont = torch.sigmoid(model["continue"](feature)[..., 0])
    mse = torch.nn.functional.mse_loss
    loss = mse(decoded, self._frames.flatten(0, 1))
    loss = loss + self._kl(torch.stack(posts, 1), torch.stack(priors, 1))
    loss = loss + mse(reward, self._rewards)
    return loss + torch.nn.functional.binary_cross_entropy(
      cont, self._continues
    )

  def _kl(self, post: Any, prior: Any) -> Any:
    """Balanced KL, 0.8 on the side of the prior."""

    def divergence(p, q):
      log_p, log_q = p.log_softmax(-1), q.log_softmax(-1)
      return (log_p.exp() * (log_p - log_q)).sum((-2, -1)).mean()

    return 0.8 * divergence(post.detach(), prior) + 0.2 * divergence(
      post, prior.detach()
    )


def _world_model(torch: Any) -> Any:
  nn = torch.nn
  module: Any = nn.Module

  class Residual(module):
    def __init__(self, channels: int):
      super().__init__()
      conv = lambda: nn.Conv2d(channels, channels, 3, padding=1, bias=False)
      self.inner = nn.Sequential(
        *(conv(), nn.BatchNorm2d(channels), nn.ReLU()),
        *(conv(), nn.BatchNorm2d(channels)),
      )

    def forward(self, x):
      return torch.relu(x + self.inner(x))

  def mlp(inputs: int, hidden: int, outputs: int):
    return nn.Sequential(
      nn.Linear(inputs, hidden), nn.ELU(), nn.Linear(hidden, outputs)
    )

  down: list[Any] = []
  up: list[Any] = []
  channels = (3, 32, 64, 128, 256)
  for before, after in itertools.pairwise(channels):
    down += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU(), Residual(after)]
    end = [nn.ReLU()] if before > 3 else [nn.Sigmoid()]
    up = [
      Residual(after),
      nn.ConvTranspose2d(after, before, 4, 2, 1),
      *end,
      *up,
    ]
  return nn.ModuleDict(
    {
      "encoder": nn.Sequential(*down, nn.Flatten(), nn.Linear(23040, 512)),
      "decoder": nn.Sequential(
        nn.Linear(FEATURES, 23040), nn.Unflatten(1, (256, 9, 10)), *up
      ),
      "gru": nn.GRUCell(LATENT + ACTIONS, 512),
      "prior": mlp(512, 512, LATENT),
      "post": mlp(1024, 512, LATENT),
      "reward": mlp(FEATURES, 256, 1),
      "continue": mlp(FEATURES, 256, 1),
    }
  )
