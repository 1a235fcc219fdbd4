"""A language model as planner: one conversation for each request.

A reply outside the schema gets one more turn with its faults; a local server
that still fails is asked once in the flat form of a schema. Errors of a service
are tried again with pauses that double and that honour Retry-After, as far as
the deadline goes. Every try is taken from the budget. Whatever happens, `ask`
returns by its deadline and says what happened.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
import json
import pathlib
import random
from typing import Any

from pokedreamer_jax import goal_specs
from pokedreamer_jax.planner import budget as budget_lib
from pokedreamer_jax.planner import replies
from pokedreamer_jax.planner import schema
from pokedreamer_jax.planner import services
from pokedreamer_jax.planner import wire

_PROMPTS = pathlib.Path(__file__).parent / "prompts"
_MOST_REPEATED = 2000  # characters of a refused reply that are sent back
_CLOSE_S = 2.0
_NOT_TAKEN = (400, 422)  # HTTP status of a request that is not understood
_NOWHERE = "http://127.0.0.1:9"  # the port of what is thrown away


@dataclasses.dataclass(frozen=True)
class Answer:
  """What came of a request."""

  reply: schema.Reply | None
  fault: str = ""  # one line; "" where there is a reply
  attempts: int = 0  # HTTP requests
  tokens_in: int = 0
  tokens_out: int = 0
  repaired: str = ""  # why the first reply was refused, where another came


@dataclasses.dataclass
class _Count:
  attempts: int = 0
  tokens_in: int = 0
  tokens_out: int = 0
  repaired: str = ""


class LlmPlanner:
  """Asks one model of one service; used by one thread at a time."""

  def __init__(
    self,
    service: services.Service,
    environment: Mapping[str, str],
    budget: budget_lib.Budget,
    retries: int = 2,
    backoff_s: float = 0.5,
    sdk: Any = None,
  ):
    """Imports the SDK, which takes seconds, and reads the key.

    Whatever the SDK does once only is done here, since Python that is imported
    in a thread holds up the others, and so the game.

    Args:
      service: which.
      environment: where its key is.
      budget: every HTTP request is taken from it.
      retries: tries after the first, of errors that may pass.
      backoff_s: pause before the first of them, which doubles.
      sdk: stands in for the SDK's module.

    Raises:
      ValueError: no SDK, or no key.
    """
    self.service = service
    self.name, self.model = service.name, service.model
    self._sdk = sdk or services.load(service)
    # Nothing that prints this object shows a key.
    key = services.key_of(service, environment)
    self._client = services.make_client(self._sdk, service, key)
    self._send = functools.partial(wire.ask, service, self._sdk, key=key)
    if sdk is None:
      asyncio.run(_warm_up(service, self._sdk))
    self._budget, self._retries = budget, retries
    self._backoff_s = backoff_s
    self._runner = asyncio.Runner()

  def __repr__(self) -> str:
    return f"LlmPlanner({self.name}, {self.model})"

  def ask(self, request: schema.Request, deadline_s: float) -> Answer:
    """Asks for a goal; returns within the deadline, and never raises.

    Args:
      request: with its screenshot, or without one.
      deadline_s: for everything: tries, pauses, repair.
    """
    count = _Count()
    reply, fault = None, ""
    try:
      reply = self._runner.run(self._within(request, deadline_s, count))
    except TimeoutError:
      fault = f"no reply within {deadline_s:g} s"
    except replies.Refused as error:
      fault = f"refused: {error}"
    except wire.Trouble as error:
      fault = error.fault
    return Answer(reply, fault, **dataclasses.asdict(count))

  def close(self) -> None:
    """Closes what is open; called by the thread that asked."""
    self._runner.run(_close(self.service, self._client))
    self._runner.close()

  async def _within(
    self, request: schema.Request, deadline_s: float, count: _Count
  ) -> schema.Reply:
    async with asyncio.timeout(deadline_s):
      return await self._converse(request, deadline_s, count)

  async def _converse(
    self, request: schema.Request, deadline_s: float, count: _Count
  ) -> schema.Reply:
    """The first turn, one repair, and the flat form once for local servers."""
    end = asyncio.get_running_loop().time() + deadline_s
    conversation = wire.Conversation(
      system=system_prompt(),
      turns=(("user", request_text(request)),),
      png_base64=request.screenshot,
      schema=schema.wire_schema(),
    )
    more = ["repair", "flat"] if self.service.is_local else ["repair"]
    while True:
      try:
        body = await self._send_patiently(conversation, end, count)
      except wire.Trouble as trouble:
        # The server does not take the request: it may know the flat form.
        if trouble.status not in _NOT_TAKEN or "flat" not in more:
          raise
        more.clear()
        conversation = _flat(conversation)
        count.repaired = trouble.fault
        continue
      try:
        if body.fault:
          raise replies.Refused([body.fault])
        return replies.read(body.text, request)
      except replies.Refused as refused:
        if not more:
          raise
        count.repaired = str(refused)
        if more.pop(0) == "flat":
          conversation = _flat(conversation)
        else:
          conversation = _repair(conversation, body, refused)

  async def _send_patiently(
    self, conversation: wire.Conversation, end: float, count: _Count
  ) -> wire.Body:
    """Sends a turn, again after errors that may pass."""
    tries = 0
    while True:
      refusal = self._budget.take()
      if refusal:
        raise wire.Trouble(f"budget: {refusal}", False)
      tries += 1
      count.attempts += 1
      left = end - asyncio.get_running_loop().time()
      used: tuple[int | None, int | None] = (None, None)
      try:
        body = await self._send(self._client, conversation, max(left, 0.001))
        used = (body.tokens_in, body.tokens_out)
        return body
      except wire.Trouble as trouble:
        # An error of the service costs nothing; a reply cut short may.
        if trouble.status:
          used = (0, 0)
        await self._pause(trouble, tries, end)
      finally:
        tokens_in, tokens_out = self._budget.spend(*used)
        count.tokens_in += tokens_in
        count.tokens_out += tokens_out

  async def _pause(self, trouble: wire.Trouble, tries: int, end: float) -> None:
    """Waits before the next try; raises the trouble where there is none."""
    # Chance spreads the tries of many games; it decides nothing in a game.
    pause = budget_lib.backoff_s(tries, random.random(), self._backoff_s)
    if trouble.retry_after_s is not None:
      self._budget.wait(trouble.retry_after_s)
      pause = trouble.retry_after_s
    left = end - asyncio.get_running_loop().time()
    if not trouble.again or tries > self._retries or pause >= left:
      raise trouble
    # A little more than asked for: the service's clock is another one.
    await asyncio.sleep(pause + 0.01)


def _flat(conversation: wire.Conversation) -> wire.Conversation:
  """From the beginning, with the schema in its flat form."""
  first = conversation.turns[:1]
  return dataclasses.replace(conversation, turns=first, form=wire.FLAT)


def _repair(
  conversation: wire.Conversation, body: wire.Body, refused: replies.Refused
) -> wire.Conversation:
  """One turn more, which says what was wrong."""
  faults = "\n".join(f"- {fault}" for fault in refused.faults)
  repair = _prompt("repair").replace("{faults}", faults)
  said = body.text[:_MOST_REPEATED] or "(nothing that could be read)"
  turns = (*conversation.turns, ("assistant", said), ("user", repair))
  return dataclasses.replace(conversation, turns=turns)


@functools.cache
def _prompt(name: str) -> str:
  return (_PROMPTS / f"{name}.txt").read_text(encoding="utf-8")


def system_prompt() -> str:
  """What every conversation begins with; the same for all games."""
  kinds = [goal_specs.WORDS[kind] for kind in goal_specs.PREDICATES]
  return _prompt("system").replace("{kinds}", "; ".join(kinds))


def request_text(request: schema.Request) -> str:
  """A request as text; its screenshot travels as a picture."""
  value = request.to_wire()
  value.pop("screenshot", None)
  return json.dumps(value, separators=(",", ":"))


async def _warm_up(service: services.Service, sdk: Any) -> None:
  """Sends nothing to nobody, by the way that requests go."""
  nowhere = dataclasses.replace(service, url=_NOWHERE)
  conversation = wire.Conversation(
    system_prompt(), (("user", "{}"),), None, schema.wire_schema()
  )
  client = services.make_client(sdk, nowhere, "none")
  try:
    await wire.ask(nowhere, sdk, client, conversation, _CLOSE_S, "")
  except wire.Trouble:
    pass  # nobody listens there
  finally:
    await _close(nowhere, client)


async def _close(service: services.Service, client: Any) -> None:
  try:
    async with asyncio.timeout(_CLOSE_S):
      await services.close(service, client)
  except TimeoutError:
    pass  # the process ends with it


def make(
  service: services.Service,
  environment: Mapping[str, str],
  limits: budget_lib.Limits,
  clock: Callable[[], float],
  prices: budget_lib.Prices | None = None,
) -> tuple[LlmPlanner, budget_lib.Budget]:
  """A planner with its budget.

  Args:
    service: which.
    environment: where its key is.
    limits: of the game.
    clock: seconds, monotonic.
    prices: of the model; None for those known.

  Raises:
    ValueError: no SDK, no key, or a limit in money without prices.
  """
  known = budget_lib.PRICES.get(service.model)
  if prices is None and known is not None:
    prices = budget_lib.Prices(*known)
  if prices is None and service.is_local:
    prices = budget_lib.Prices(0.0, 0.0)
  budget = budget_lib.Budget(limits, prices, clock)
  return LlmPlanner(service, environment, budget), budget
