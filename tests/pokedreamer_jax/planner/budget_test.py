"""Budgets are kept, pauses honoured."""

import datetime

import pytest

from pokedreamer_jax.planner import budget

_MOST = budget.MOST_TOKENS_IN + budget.MOST_TOKENS_OUT


class _Clock:
  now = 100.0

  def __call__(self):
    return self.now


def _budget(prices=None, **limits):
  clock = _Clock()
  return budget.Budget(budget.Limits(**limits), prices, clock), clock


def test_calls_a_minute_slide():
  made, clock = _budget(calls_a_minute=2)
  assert made.take() == ""
  clock.now += 30
  assert made.take() == ""
  assert made.take() == "2 calls a minute"
  clock.now += 30  # the first is a minute ago
  assert made.refusal() == ""
  assert made.take() == ""
  assert made.take() != ""
  assert made.calls == 3


def test_tokens_are_never_exceeded():
  made, _ = _budget(tokens=_MOST + 2000, calls_a_minute=100)
  spent = 0
  while made.take() == "":
    made.spend(900, 90)
    spent += 990
  assert made.tokens_in + made.tokens_out == spent <= _MOST + 2000
  assert made.refusal() == f"{_MOST + 2000} tokens a game"
  assert spent >= 2000


def test_what_nobody_tells_counts_as_the_most():
  made, _ = _budget(tokens=2 * _MOST - 1)
  assert made.take() == ""
  assert made.spend(None, None) == (8000, 2000)
  assert "tokens a game" in made.take()


def test_money_is_never_exceeded_and_needs_prices():
  prices = budget.Prices(1.0, 10.0)  # a call costs 0.028 USD at most
  made, _ = _budget(prices, cost_usd=0.05, calls_a_minute=100)
  while made.take() == "":
    made.spend(1000, 100)  # 0.002 USD
  assert 0.02 < made.cost_usd <= 0.05
  assert made.refusal() == "0.05 USD a game"
  assert made.cost_of(1_000_000, 100_000) == 2.0
  with pytest.raises(ValueError, match=r"limits.cost_usd: no prices"):
    _budget(cost_usd=1.0)
  assert _budget()[0].cost_usd is None


def test_a_pause_that_a_service_asks_for_is_kept():
  made, clock = _budget()
  made.wait(5)
  made.wait(2)  # a shorter one does not end it
  clock.now += 4
  assert made.take() == "the service asked for a pause"
  clock.now += 1
  assert made.take() == ""


def test_pauses_double_and_half_of_them_is_chance():
  assert [budget.backoff_s(n, 0.0) for n in (1, 2, 3)] == [0.25, 0.5, 1.0]
  assert budget.backoff_s(2, 0.999) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
  ("header", "seconds"),
  [
    ("7", 7.0),
    ("0.5", 0.5),
    ("-3", 0.0),
    ("Fri, 01 Jan 2027 00:00:30 GMT", 30.0),
    ("Thu, 31 Dec 2026 23:00:00 GMT", 0.0),
    *(("soon", None), ("nan", None), ("inf", None), ("", None), (None, None)),
    ("9" * 100, None),
  ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
  now = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
  assert budget.retry_after_s(header, now) == seconds


def test_limits_are_checked():
  with pytest.raises(ValueError, match=r"limits.calls_a_minute: 0"):
    budget.Limits(calls_a_minute=0)
  with pytest.raises(ValueError, match=r"limits.cost_usd: -1"):
    budget.Limits(cost_usd=-1)
