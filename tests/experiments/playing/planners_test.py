"""Flags that name a planner: what goes together, and what is told else."""

import pytest

from experiments.playing import planners
from pokedreamer_jax.planner import budget
from pokedreamer_jax.planner import driver
from pokedreamer_jax.planner import leading
from pokedreamer_jax.planner import trace
from tests.experiments.playing import goal_policies
from tests.pokedreamer_jax.planner import games

_URL = "http://127.0.0.1:8411/v1"


def test_the_default_is_offline_or_the_server_that_is_named():
  assert planners.choose(None, "", "").name == "offline"
  assert planners.choose("none", "", "").gives_goals is False
  chosen = planners.choose(None, _URL, "")
  assert (chosen.name, chosen.service.url) == ("url", _URL)
  assert planners.choose("url", _URL, "m").service.model == "m"


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("fly", "", ""), "--planner=fly: expected one of offline"),
    (("openai", _URL, ""), "expected an address with --planner=url"),
    (("url", "", ""), "expected an address with --planner=url"),
    (("url", "ftp://x", ""), "planner_url: expected http"),
    (("url", "http://a:key@x/", ""), "without name, password"),
    (("offline", "", "gpt"), "--planner=offline has no model"),
    (("openai", "", ""), "no key, expected it in OPENAI_API_KEY"),
  ],
)
def test_what_does_not_go_together_is_a_line(monkeypatch, arguments, words):
  monkeypatch.delenv("OPENAI_API_KEY", raising=False)
  with pytest.raises(ValueError, match=words) as error:
    planners.choose(*arguments)
  assert "\n" not in str(error.value)


def test_a_limit_in_money_needs_prices(monkeypatch):
  monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
  limits = budget.Limits(cost_usd=0.05)
  planners.choose("openai", "", "gpt-5-mini", limits=limits)
  with pytest.raises(ValueError, match="--planner_model=other: its prices"):
    planners.choose("openai", "", "other", limits=limits)
  prices = budget.Prices(1.0, 2.0)
  made = planners.choose("openai", "", "other", limits=limits, prices=prices)
  assert "sk-secret" not in str(made) + str(made.to_json())


def test_a_trace_is_of_one_game(tmp_path):
  path = tmp_path / "t"
  about = {"seed": 3, "greedy": False}
  made = driver.Driver(games.small_world(), trace_path=path, about=about)
  made.step(games.row())
  made.close()
  chosen = planners.choose(f"replay={path}", "", "")
  assert chosen.name == "replay"
  planners.check_same_game(chosen.trace, about)
  with pytest.raises(ValueError, match=r"another game: seed 3, now 4 \(1 in"):
    planners.check_same_game(chosen.trace, {**about, "seed": 4})
  with pytest.raises(ValueError, match="seed None, now 3"):
    planners.check_same_game(trace.Trace({}, (), "", True), about)


def test_knowledge_is_of_the_cartridge_and_from_one_place(tmp_path):
  empty, learned = planners.read_knowledge("", "", "a")
  assert not empty.maps and learned is None
  with pytest.raises(ValueError, match="expected one of them"):
    planners.read_knowledge("a", "b", "c")
  from experiments.playing import planner_knowledge

  values = {"format": 1, "about": {"rom_sha1": "a" * 40}}
  values |= {"maps": [], "ways": [], "milestones": [], "healing": []}
  planner_knowledge.keep(values, tmp_path / "k.json")
  found, _ = planners.read_knowledge(str(tmp_path / "k.json"), "", "a" * 40)
  assert found.about["rom_sha1"] == "a" * 40
  with pytest.raises(ValueError, match=f"SHA-1 {'a' * 40}, expected b"):
    planners.read_knowledge(str(tmp_path / "k.json"), "", "b")


def test_who_reads_offsets_is_led_cell_by_cell(tmp_path):
  limits = budget.Limits(calls_a_minute=3)
  choice = planners.choose("url", _URL, "m", limits=limits)
  goal_policies.write(tmp_path / "plain")
  assert planners.suited(choice, str(tmp_path / "plain")) == choice
  goal_policies.write(tmp_path / "led", "actor_critic.reads_offset=true")
  led = planners.suited(choice, str(tmp_path / "led"))
  assert led.config.stride == leading.STRIDE > 0
  assert choice.config.stride == 0
  assert led.service == choice.service and led.limits == limits
