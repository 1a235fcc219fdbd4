"""Which services of language models there are, and how one is reached.

SDKs are imported when one is chosen, never at import; their own retries are
off. Keys come from the environment alone and go to their own service alone.
"""

from collections.abc import Mapping
import dataclasses
import importlib
from typing import Any
import urllib.parse

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclasses.dataclass(frozen=True)
class Service:
  """Where to ask which model; holds no key."""

  name: str
  model: str
  url: str
  keys: tuple[str, ...]  # environment variables, the first that is set counts
  module: str  # of the SDK
  is_local: bool = False  # may know the flat form alone, and needs no key


def openai_service(model: str = "gpt-5-mini") -> Service:
  """OpenAI."""
  url = "https://api.openai.com/v1"
  return Service("openai", model, url, ("OPENAI_API_KEY",), "openai")


def gemini_service(model: str = "gemini-2.5-flash") -> Service:
  """Gemini."""
  url = "https://generativelanguage.googleapis.com"
  keys = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
  return Service("gemini", model, url, keys, "google.genai")


def anthropic_service(model: str = "claude-haiku-4-5") -> Service:
  """Anthropic."""
  url = "https://api.anthropic.com"
  return Service("anthropic", model, url, ("ANTHROPIC_API_KEY",), "anthropic")


def url_service(url: str, model: str = "local") -> Service:
  """Any server that speaks as OpenAI's; its key is `PLANNER_API_KEY`, if any.

  Raises:
    ValueError: no http address, or one with a name, password or query in it.
  """
  parts = urllib.parse.urlsplit(url)
  if (
    parts.scheme not in ("http", "https")
    or not parts.hostname
    or parts.username is not None
    or parts.query
    or parts.fragment
  ):
    raise ValueError(
      "planner_url: expected http://HOST[:PORT][/PATH] without name, password "
      "or query"
    )
  address = url.rstrip("/")
  address = address if parts.path.strip("/") else f"{address}/v1"
  return Service("url", model, address, ("PLANNER_API_KEY",), "openai", True)


def key_of(service: Service, environment: Mapping[str, str]) -> str:
  """The key of a service, "" where a local server needs none.

  Raises:
    ValueError: none is set, or it would travel unencrypted.
  """
  key = next((environment[k] for k in service.keys if environment.get(k)), "")
  if not key and not service.is_local:
    raise ValueError(
      f"{service.name}: no key, expected it in {' or '.join(service.keys)}"
    )
  parts = urllib.parse.urlsplit(service.url)
  if key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
    raise ValueError(
      f"{service.name}: a key is set, expected an https address or this machine"
    )
  return key


def load(service: Service) -> Any:
  """The SDK's module.

  Raises:
    ValueError: it is not installed.
  """
  try:
    return importlib.import_module(service.module)
  except ImportError:
    raise ValueError(
      f"{service.name}: {service.module} is not installed, expected "
      'pip install -r requirements-llm.txt (or ".[llm]")'
    ) from None


def make_client(sdk: Any, service: Service, key: str) -> Any:
  """An asynchronous client of a service; made and used in one event loop."""
  if service.module == "google.genai":
    # One attempt: the pauses between tries are ours.
    options = {"base_url": service.url, "retry_options": {"attempts": 1}}
    return sdk.Client(api_key=key, vertexai=False, http_options=options)
  make = sdk.AsyncAnthropic if service.name == "anthropic" else sdk.AsyncOpenAI
  # A local server takes any key; the SDK wants one.
  return make(api_key=key or "none", base_url=service.url, max_retries=0)


async def close(service: Service, client: Any) -> None:
  """Closes a client."""
  if service.module == "google.genai":
    await client.aio.aclose()
  else:
    await client.close()
