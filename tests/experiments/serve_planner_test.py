"""The server as a verb: says its address, answers, ends on a signal."""

import signal
import subprocess
import sys
import time

from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import llm
from pokedreamer_jax.planner import services
from tests import conftest
from tests.pokedreamer_jax.planner import games


def test_it_serves_goals_until_it_is_ended():
  command = [sys.executable, "-m", "experiments.serve_planner", "--port=0"]
  process = subprocess.Popen(
    command, cwd=conftest.ROOT, stdout=subprocess.PIPE, text=True
  )
  with process:
    try:
      flag, _, url = process.stdout.readline().strip().partition("=")
      assert flag == "--planner_url"
      planner, _ = llm.make(
        services.url_service(url), {}, budget.Limits(), time.monotonic
      )
      answer = planner.ask(games.request(games.row()), 60.0)
      planner.close()
      assert str(answer.reply.goal) == "reach map 2"
    finally:
      process.send_signal(signal.SIGTERM)
  assert process.returncode in (143, -signal.SIGTERM)
