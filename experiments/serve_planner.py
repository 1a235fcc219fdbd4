"""Serves goals as a language model would, by a few rules: no key, no network.

    python -m experiments.serve_planner --port=8411

The server speaks as OpenAI's and binds to this machine alone. What asks for
goals takes its address, http://127.0.0.1:8411/v1, as --planner_url. --fault
meets every request with a fault, to see what becomes of a game then:
{faults}
"""

from experiments.runs import cli
from pokedreamer_jax.planner import server

__doc__ = __doc__.replace(
  "{faults}",
  "\n".join(f"  {name:<13}{what}" for name, what in server.FAULTS.items()),
)

_PORT = cli.integer("port", 8411, "Where it listens; 0 for any that is free.")
_FAULT = cli.choice(
  "fault", "none", tuple(server.FAULTS), "What every request is met with."
)
_SLOW_S = cli.integer("slow_s", 5, "Seconds before a slow reply.")


def main() -> None:
  """Serves until it is ended."""
  import asyncio

  behaviour = server.Behaviour(always=_FAULT.value, slow_s=_SLOW_S.value)
  try:
    asyncio.run(_serve(behaviour, _PORT.value))
  except ModuleNotFoundError as error:
    raise ValueError(
      f"{error.name} is not installed, expected pip install -r "
      'requirements-llm.txt (or ".[llm]")'
    ) from None


async def _serve(behaviour: server.Behaviour, port: int) -> None:
  import asyncio

  host = server.LOOPBACK[0]
  runner, found = await server.start(behaviour, host, port)
  print(f"--planner_url=http://{host}:{found}/v1", flush=True)
  try:
    await asyncio.Event().wait()
  finally:
    await server.stop(runner)


if __name__ == "__main__":
  cli.run_main(main)
