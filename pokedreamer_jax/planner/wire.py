"""What goes over the wire: a conversation out, the text of a reply back.

One small function a service. Keys are cut out of whatever comes back. Errors
say what happened in our words: those of a service may hold anything.
"""

import asyncio
import dataclasses
import datetime
from typing import Any

from pokedreamer_jax import json_files
from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import services

MOST_BODY_BYTES = 262144  # of a whole HTTP reply; what is longer is not read
# How a schema is sent: nested as OpenAI has it, or flat as some local servers.
NESTED, FLAT = "nested", "flat"
_HIDDEN = "[key]"
_SCHEMA_NAME = "reply"


@dataclasses.dataclass(frozen=True)
class Conversation:
  """What is sent."""

  system: str
  turns: tuple[tuple[str, str], ...]  # ("user" or "assistant", text)
  png_base64: str | None  # goes with the first turn
  schema: dict[str, Any]
  form: str = NESTED


@dataclasses.dataclass(frozen=True)
class Body:
  """What came back; tokens are None where the service does not tell."""

  text: str
  tokens_in: int | None
  tokens_out: int | None
  fault: str = ""  # why the text is no reply, "" where it may be


class Trouble(Exception):
  """No reply came; the text is ours and holds nothing of the service's."""

  def __init__(
    self,
    fault: str,
    again: bool,
    retry_after_s: float | None = None,
    status: int = 0,
  ):
    """What happened, whether it may pass, and the HTTP status if there was."""
    super().__init__(fault)
    self.fault, self.again = fault, again
    self.retry_after_s, self.status = retry_after_s, status


async def ask(
  service: services.Service,
  sdk: Any,
  client: Any,
  conversation: Conversation,
  timeout_s: float,
  key: str,
) -> Body:
  """Sends a conversation once.

  Args:
    service: of the client.
    sdk: the module.
    client: of `make_client`.
    conversation: what is sent.
    timeout_s: for the SDK; who calls has a deadline beside it.
    key: cut out of the reply.

  Raises:
    Trouble: an error of the service or on the way there.
  """
  asker = {"gemini": _gemini, "anthropic": _anthropic}.get(
    service.name, _openai
  )
  try:
    body = await asker(client, service, conversation, timeout_s)
  except (Trouble, asyncio.CancelledError):
    raise
  except Exception as error:  # of four libraries: HTTP, JSON, pydantic, SDK
    raise _trouble(error) from None
  text = body.text.replace(key, _HIDDEN) if key else body.text
  return dataclasses.replace(body, text=text)


async def _openai(
  client: Any,
  service: services.Service,
  conversation: Conversation,
  timeout_s: float,
) -> Body:
  """`chat.completions`, which OpenAI and all local servers speak."""
  first, *rest = conversation.turns
  content: Any = [{"type": "text", "text": first[1]}]
  if conversation.png_base64:
    url = f"data:image/png;base64,{conversation.png_base64}"
    content.append({"type": "image_url", "image_url": {"url": url}})
  messages = [
    {"role": "system", "content": conversation.system},
    {"role": first[0], "content": content},
    *({"role": role, "content": text} for role, text in rest),
  ]
  schema: Any = conversation.schema
  if conversation.form == NESTED:
    named = {"name": _SCHEMA_NAME, "strict": True, "schema": schema}
    form: Any = {"type": "json_schema", "json_schema": named}
  else:
    form = {"type": "json_schema", "schema": schema}
  most = "max_tokens" if service.is_local else "max_completion_tokens"
  # The SDK would read and trust whatever comes: we read a part of it.
  streaming = client.chat.completions.with_streaming_response
  async with streaming.create(
    model=service.model,
    messages=messages,
    response_format=form,
    timeout=timeout_s,
    **{most: budget.MOST_TOKENS_OUT},
  ) as response:
    data = await _limited(response)
  if data is None:
    return _too_long()
  return _of_openai(json_files.parse_object(data, "body"))


def _of_openai(value: dict[str, Any]) -> Body:
  usage = value.get("usage") or {}
  used = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
  choices = value["choices"]
  if len(choices) != 1:
    fault = f"reply: {len(choices)} of them, expected 1"
    return Body("", *_counts(used), fault)
  text = choices[0]["message"].get("content")
  reason = choices[0].get("finish_reason")
  return _body(text, used, "cut at its limit" if reason == "length" else "")


async def _anthropic(
  client: Any,
  service: services.Service,
  conversation: Conversation,
  timeout_s: float,
) -> Body:
  """`messages`, with the schema in `output_config`."""
  first, *rest = conversation.turns
  content: Any = [{"type": "text", "text": first[1]}]
  if conversation.png_base64:
    source = {
      "type": "base64",
      "media_type": "image/png",
      "data": conversation.png_base64,
    }
    content.insert(0, {"type": "image", "source": source})
  form = {"type": "json_schema", "schema": conversation.schema}
  async with client.messages.with_streaming_response.create(
    model=service.model,
    system=conversation.system,
    max_tokens=budget.MOST_TOKENS_OUT,
    messages=[
      {"role": first[0], "content": content},
      *({"role": role, "content": text} for role, text in rest),
    ],
    output_config={"format": form},
    timeout=timeout_s,
  ) as response:
    data = await _limited(response)
  if data is None:
    return _too_long()
  value = json_files.parse_object(data, "body")
  usage = value.get("usage") or {}
  used = (usage.get("input_tokens"), usage.get("output_tokens"))
  texts = [part["text"] for part in value["content"] if part["type"] == "text"]
  reason = value.get("stop_reason")
  return _body(
    "".join(texts), used, "cut at its limit" if reason == "max_tokens" else ""
  )


async def _gemini(
  client: Any,
  service: services.Service,
  conversation: Conversation,
  timeout_s: float,
) -> Body:
  """`generate_content`, with the schema in `response_json_schema`."""
  roles = {"user": "user", "assistant": "model"}
  contents: list[dict[str, Any]] = [
    {"role": roles[role], "parts": [{"text": text}]}
    for role, text in conversation.turns
  ]
  if conversation.png_base64:
    picture = {"mime_type": "image/png", "data": conversation.png_base64}
    contents[0]["parts"].append({"inline_data": picture})
  response = await client.aio.models.generate_content(
    model=service.model,
    contents=contents,
    config={
      "system_instruction": conversation.system,
      "response_mime_type": "application/json",
      "response_json_schema": conversation.schema,
      "max_output_tokens": budget.MOST_TOKENS_OUT,
      "http_options": {"timeout": max(1, int(1000 * timeout_s))},
    },
  )
  usage = response.usage_metadata
  used = (
    getattr(usage, "prompt_token_count", None),
    getattr(usage, "candidates_token_count", None),
  )
  found = response.candidates or []
  if len(found) != 1:
    fault = f"reply: {len(found)} of them, expected 1"
    return Body("", *_counts(used), fault)
  return _body(response.text, used, "")


async def _limited(response: Any) -> bytes | None:
  """The bytes of a reply; None where there are more than we read."""
  data = b""
  async for chunk in response.iter_bytes():
    data += chunk
    if len(data) > MOST_BODY_BYTES:
      return None
  return data


def _too_long() -> Body:
  return Body(
    "", None, None, f"reply: more than {MOST_BODY_BYTES} bytes, not read"
  )


def _body(text: Any, used: tuple[Any, Any], fault: str) -> Body:
  if not isinstance(text, str) or not text:
    return Body("", *_counts(used), "reply: no text")
  return Body(text, *_counts(used), f"reply: {fault}" if fault else "")


def _counts(used: tuple[Any, Any]) -> tuple[int | None, int | None]:
  """Token counts that are whole numbers, as a service should tell them."""
  first, second = (
    value if type(value) is int and 0 <= value < 1 << 31 else None
    for value in used
  )
  return first, second


def _trouble(error: Exception) -> Trouble:
  """What an exception of an SDK says, in our words.

  Their classes differ; HTTP errors of all of them have a status and a response
  with headers.
  """
  status = getattr(error, "status_code", None) or getattr(error, "code", None)
  if isinstance(status, int) and 100 <= status < 600:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    pause = budget.retry_after_s(
      headers.get("retry-after"), datetime.datetime.now(datetime.UTC)
    )
    again = status in (408, 409, 429) or status >= 500
    return Trouble(f"HTTP status {status}", again, pause, status)
  name = type(error).__name__
  if isinstance(error, _SHAPE):
    return Trouble(f"a body that is no reply ({name})", True)
  if "timeout" in name.lower():
    return Trouble("no reply in time", True)
  return Trouble(f"no connection, or a cut one ({name})", True)


# Of JSON that is damaged, or has not the shape that a service documents.
_SHAPE = (ValueError, LookupError, TypeError, AttributeError)
