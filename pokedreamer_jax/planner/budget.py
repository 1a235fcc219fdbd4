"""What calls may cost: calls a minute, tokens, money; and when to try again.

A call is allowed only if what it may cost at most still fits, so that a budget
is kept, not found to be exceeded. Calls whose use of tokens nobody told are
counted at that most.
"""

from collections import deque
from collections.abc import Callable
import dataclasses
import datetime
import email.utils
import math
import threading

_MINUTE_S = 60.0
# USD for a million tokens in and out, as read in October 2026: of gpt-5-mini in
# GitHub's list of models and prices, of the others in lists of LiteLLM. What
# a run is charged is for the service to say.
PRICES = {
  "gpt-5-mini": (0.25, 2.00),
  "gemini-2.5-flash": (0.30, 2.50),
  "claude-haiku-4-5": (1.00, 5.00),
}
# What a request may take: 2,000 to 4,000 were seen, images included.
MOST_TOKENS_IN = 8000
MOST_TOKENS_OUT = 2000


@dataclasses.dataclass(frozen=True)
class Limits:
  """Of one game; None is no limit."""

  calls_a_minute: int = 10
  tokens: int | None = None
  cost_usd: float | None = None

  def __post_init__(self):
    if self.calls_a_minute < 1:
      raise ValueError(
        f"limits.calls_a_minute: {self.calls_a_minute}, expected at least 1"
      )
    for name in ("tokens", "cost_usd"):
      value = getattr(self, name)
      if value is not None and not 0 <= value < math.inf:
        raise ValueError(f"limits.{name}: {value}, expected at least 0")


@dataclasses.dataclass(frozen=True)
class Prices:
  """USD for a million tokens."""

  tokens_in: float
  tokens_out: float

  def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
    """What so many tokens cost."""
    return (
      self.tokens_in * tokens_in + self.tokens_out * tokens_out
    ) / 1_000_000


class Budget:
  """Counts the calls of one game; safe to use from two threads."""

  def __init__(
    self, limits: Limits, prices: Prices | None, clock: Callable[[], float]
  ):
    """Nothing is spent yet.

    Args:
      limits: what may be spent.
      prices: of the model; None where they are not known.
      clock: seconds, monotonic.

    Raises:
      ValueError: a limit in money without prices.
    """
    if limits.cost_usd is not None and prices is None:
      raise ValueError(
        "limits.cost_usd: no prices of this model are known, expected them "
        "with it"
      )
    self._limits, self._prices, self._clock = limits, prices, clock
    self._lock = threading.Lock()
    self._calls: deque[float] = deque()
    self._not_before = -math.inf
    self.calls = 0
    self.tokens_in = 0
    self.tokens_out = 0

  @property
  def cost_usd(self) -> float | None:
    """Spent so far; None where prices are not known."""
    if self._prices is None:
      return None
    return self._prices.cost_usd(self.tokens_in, self.tokens_out)

  def cost_of(self, tokens_in: int, tokens_out: int) -> float | None:
    """What a call cost; None where prices are not known."""
    prices = self._prices
    return None if prices is None else prices.cost_usd(tokens_in, tokens_out)

  def refusal(self) -> str:
    """Why no call may be made now, in words; "" where one may."""
    with self._lock:
      return self._refusal()

  def take(self) -> str:
    """Counts a call that is about to be made, unless it is refused.

    Returns:
      As `refusal`; "" where it was counted.
    """
    with self._lock:
      refusal = self._refusal()
      if not refusal:
        self._calls.append(self._clock())
        self.calls += 1
      return refusal

  def spend(
    self, tokens_in: int | None, tokens_out: int | None
  ) -> tuple[int, int]:
    """Counts the tokens of a call; None where nobody told them.

    Returns:
      What was counted.
    """
    used = (
      MOST_TOKENS_IN if tokens_in is None else tokens_in,
      MOST_TOKENS_OUT if tokens_out is None else tokens_out,
    )
    with self._lock:
      self.tokens_in += used[0]
      self.tokens_out += used[1]
    return used

  def wait(self, seconds: float) -> None:
    """A service asked for so long a pause: no call before it is over."""
    with self._lock:
      self._not_before = max(self._not_before, self._clock() + seconds)

  def _refusal(self) -> str:
    now = self._clock()
    while self._calls and now - self._calls[0] >= _MINUTE_S:
      self._calls.popleft()
    if now < self._not_before:
      return "the service asked for a pause"
    if len(self._calls) >= self._limits.calls_a_minute:
      return f"{self._limits.calls_a_minute} calls a minute"
    most_in = self.tokens_in + MOST_TOKENS_IN
    most_out = self.tokens_out + MOST_TOKENS_OUT
    tokens, money = self._limits.tokens, self._limits.cost_usd
    if tokens is not None and most_in + most_out > tokens:
      return f"{tokens} tokens a game"
    if (
      money is not None
      and self._prices is not None
      and self._prices.cost_usd(most_in, most_out) > money
    ):
      return f"{money} USD a game"
    return ""


def backoff_s(attempt: int, chance: float, base_s: float = 0.5) -> float:
  """Seconds before the next try: they double, and half of them is chance.

  Args:
    attempt: tries that failed, from 1.
    chance: in [0, 1).
    base_s: of the first.
  """
  return base_s * 2 ** (attempt - 1) * (0.5 + 0.5 * chance)


def retry_after_s(header: str | None, now: datetime.datetime) -> float | None:
  """Seconds that a `Retry-After` header asks for; None without a sound one.

  Args:
    header: seconds, or a date.
    now: with its time zone.
  """
  if header is None or len(header) > 64:
    return None
  try:
    seconds = float(header)
  except ValueError:
    try:
      date = email.utils.parsedate_to_datetime(header)
    except ValueError:
      return None
    if date.tzinfo is None:
      date = date.replace(tzinfo=datetime.UTC)
    seconds = (date - now).total_seconds()
  return max(0.0, seconds) if math.isfinite(seconds) else None
