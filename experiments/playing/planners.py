"""Which planner a game gets: what flags ask for, checked, and made anew a game.

    offline | openai | gemini | anthropic | url | replay=TRACE | none

Keys come from the environment, and are looked for before anything is played.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import os
import sys
import time
from typing import Any

from data_tools.records import generations
from experiments.playing import planner_knowledge
from experiments.runs import inputs
from pokedreamer_jax.planner import budget as budget_lib
from pokedreamer_jax.planner import driver as driver_lib
from pokedreamer_jax.planner import knowledge as knowledge_lib
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import replay as replay_lib
from pokedreamer_jax.planner import services
from pokedreamer_jax.planner import trace as trace_lib

_SWITCH_S = 0.0001  # seconds

_SERVICES: Mapping[str, Callable[..., services.Service]] = {
  "openai": services.openai_service,
  "gemini": services.gemini_service,
  "anthropic": services.anthropic_service,
}
NAMES = ("offline", *_SERVICES, "url", "replay=FILE", "none")


@dataclasses.dataclass(frozen=True)
class Choice:
  """A planner that can be made; holds no key."""

  name: str  # as in `NAMES`
  service: services.Service | None = None
  trace: trace_lib.Trace | None = None  # that is played again
  limits: budget_lib.Limits = dataclasses.field(
    default_factory=budget_lib.Limits
  )
  prices: budget_lib.Prices | None = None
  config: driver_lib.DriverConfig = dataclasses.field(
    default_factory=driver_lib.DriverConfig
  )

  @property
  def gives_goals(self) -> bool:
    """Whether a policy has to read goals."""
    return self.name != "none"

  def to_json(self) -> dict[str, Any]:
    """What decides the goals, for a run directory; holds no key."""
    service = self.service
    return {
      "name": self.name,
      "model": service.model if service else "",
      "url": service.url if service else "",
      "limits": dataclasses.asdict(self.limits),
      "config": dataclasses.asdict(self.config),
    }


def choose(name: str | None, url: str, model: str, **settings: Any) -> Choice:
  """What flags ask for.

  Args:
    name: of `NAMES`; None is offline, or `url` where there is one.
    url: of an OpenAI-compatible server, or "".
    model: of a service, "" for its default.
    **settings: `limits`, `prices` and `config` of `Choice`.

  Raises:
    ValueError: an unknown name, flags that do not go together, no key, no SDK,
      or a file that is no trace.
    FileNotFoundError: there is no such trace.
  """
  name = name or ("url" if url else "offline")
  if bool(url) != (name == "url"):
    raise ValueError(
      f"--planner={name}, --planner_url={url!r}: expected an address with "
      "--planner=url, and with no other"
    )
  service = None
  if name == "url":
    service = services.url_service(url, *([model] if model else []))
  elif name in _SERVICES:
    service = _SERVICES[name](*([model] if model else []))
  elif model:
    raise ValueError(f"--planner_model={model}: --planner={name} has no model")
  if service is not None:
    services.key_of(service, os.environ)
    services.load(service)
  trace = None
  if name.startswith("replay="):
    trace = trace_lib.read(name.removeprefix("replay="))
    name = "replay"
  elif name not in NAMES:
    raise ValueError(f"--planner={name}: expected one of {', '.join(NAMES)}")
  made = Choice(name, service, trace, **settings)
  if made.limits.cost_usd is not None and service is not None:
    _prices(made)
  return made


def _prices(choice: Choice) -> None:
  """Raises ValueError where a limit in money has no prices."""
  service, known = choice.service, budget_lib.PRICES
  if service and not service.is_local and service.model not in known:
    if choice.prices is None:
      raise ValueError(
        f"--planner_model={service.model}: its prices are not known, expected "
        "--price_in and --price_out with a limit in money"
      )


def make(
  choice: Choice,
  knowledge: knowledge_lib.Knowledge,
  map_names: Mapping[int, str],
  trace_path: str | os.PathLike | None,
  about: Mapping[str, Any],
  log: Callable[[str], None],
) -> driver_lib.Driver:
  """A driver for one game.

  Args:
    choice: not none.
    knowledge: from records.
    map_names: map -> name.
    trace_path: a new file.
    about: of the game, for the trace.
    log: takes lines for a person.

  Raises:
    ValueError: no key, or no SDK.
    FileExistsError: there is a trace already.
  """
  planner, budget, replay = None, None, None
  if choice.service is not None:
    # The thread that asks is Python too: it must not hold up a decision for
    # the 5 ms after which it would be asked to give way.
    sys.setswitchinterval(_SWITCH_S)
    planner, budget = llm.make(
      choice.service, os.environ, choice.limits, time.monotonic, choice.prices
    )
  if choice.trace is not None:
    replay = replay_lib.Replay(choice.trace)
  return driver_lib.Driver(
    knowledge,
    choice.config,
    planner=planner,
    budget=budget,
    replay=replay,
    map_names=map_names,
    trace_path=trace_path,
    about=about,
    log=log,
  )


def suited(choice: Choice, directory: str) -> Choice:
  """The choice as it suits the policy in a run directory.

  A policy that reads how far off a cell is can be led: it is named cells on
  the way to what the planner named, one after the other.
  """
  if not inputs.load_config(directory).actor_critic.reads_offset:
    return choice
  config = dataclasses.replace(choice.config, stride=leading.STRIDE)
  return dataclasses.replace(choice, config=config)


def check_reads_goals(directory: str) -> None:
  """Raises ValueError where the policy in a run directory reads no goals."""
  if not inputs.load_config(directory).actor_critic.reads_goal:
    raise ValueError(
      f"{directory}: actor_critic.reads_goal False, it was not trained under "
      "goals, expected a policy of --set=actor_critic.reads_goal=true"
    )


def check_same_game(trace: trace_lib.Trace, about: Mapping[str, Any]) -> None:
  """Compares the game of a trace with one that is about to be played.

  Raises:
    ValueError: it would be another game; the fields that differ are named.
  """
  recorded = trace.start.get("about") or {}
  differ = {
    name: (recorded.get(name), value)
    for name, value in about.items()
    if recorded.get(name) != value
  }
  if differ:
    name, (before, now) = next(iter(differ.items()))
    raise ValueError(
      f"--planner=replay: the trace is of another game: {name} {before!r:.80}, "
      f"now {now!r:.80} ({len(differ)} in all: {', '.join(differ)}); expected "
      "the policy, ROM, start, seed and settings that it was written with"
    )


def read_knowledge(
  path: str, data_dir: str, rom_sha1: str
) -> tuple[knowledge_lib.Knowledge, dict[str, Any] | None]:
  """What a planner may know: of a file, of records, or nothing.

  Args:
    path: a file of `planner_knowledge`, or "".
    data_dir: records to learn it from, or "".
    rom_sha1: of the cartridge that is played.

  Returns:
    It, and for `planner_knowledge.keep` what was learned; None where nothing
    was.

  Raises:
    ValueError: both are given, or it is of another cartridge.
    FileNotFoundError: there is no such file.
  """
  if path and data_dir:
    raise ValueError("--knowledge and --data_dir: expected one of them")
  if data_dir:
    learned = planner_knowledge.values(generations.freeze(data_dir), rom_sha1)
    return knowledge_lib.from_json(learned), learned
  if not path:
    return knowledge_lib.Knowledge(), None
  found = knowledge_lib.load(path)
  if found.about.get("rom_sha1") != rom_sha1:
    raise ValueError(
      f"--knowledge={path}: of the ROM with SHA-1 "
      f"{found.about.get('rom_sha1')!s:.40}, expected {rom_sha1}"
    )
  return found, None
