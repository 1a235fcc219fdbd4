"""How far players came in the game: badges, its end, maps; and in words.

Of worlds that nobody plays to the end in the steps given, this says so.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import statistics
from typing import Any

from experiments.reports import text_tables


def tables(play: Mapping[str, Any]) -> list[text_tables.Table]:
  """How far each policy came in the game; nothing of older measurements."""
  progress = {
    name: measured["progress"]
    for name, measured in play["policies"].items()
    if "progress" in measured
  }
  if not progress:
    return []
  most = max(1, *(len(found["badges"]) for found in progress.values()))
  total = play["rom"].get("maps", 0)
  header = ["episodes with", *(f"badge {k}" for k in range(1, most + 1))]
  header += ["the game beaten", "maps", "most", f"of all {total}"]
  rows, kinds = [], []
  for name, found in progress.items():
    badges = [found["badges"].get(str(k)) for k in range(1, most + 1)]
    row = [name, *(_times(reached) for reached in [*badges, found["beaten"]])]
    if "maps" in found:
      row += [f"{found['maps_mean']:.1f}", str(found["maps_most"])]
      row.append(str(len(found["maps"])))
    else:
      row += ["-"] * 3
    rows.append(row)
    kinds.append("strong" if name == "policy" else "faint")
  note = (
    f"Of {play['episodes']} episodes, those that got there, with their median "
    "step. Maps: seen in an episode on average, in the best one, and by all "
    "episodes together."
  )
  title = "How far they came"
  return [text_tables.Table(title, header, rows, kinds, note)]


def subject(names: Iterable[str]) -> str | None:
  """The player that verdicts speak of; None where it is not among `names`."""
  known = set(names)
  return next((n for n in ("policy", "policy_scratch") if n in known), None)


def verdicts(play: Mapping[str, Any]) -> list[text_tables.Verdict]:
  """Whether the policy earns a badge each time, and what the others earn."""
  names = play.get("policies", {}) if play else {}
  spoken_of = subject(names)
  if spoken_of is None:
    return []
  count, length = play["episodes"], play["episode_length"]
  share = {n: names[n]["milestones"]["badges"]["share"] for n in names}
  badges = {n: names[n]["badges"]["mean"] for n in names}
  others = [n for n in names if n != spoken_of]
  listed = ", ".join(f"{n} {round(share[n] * count)}" for n in others)
  if not any(share.values()):
    text = f"Nobody earns a badge in {length} steps: {', '.join(names)}."
    if any(name.startswith("demonstrator") for name in names):
      text += " The episodes are too short: see evaluate.play_length."
    return [text_tables.Verdict(None, text)]
  taught = _taught(play, share) if spoken_of == "policy" else []
  return [
    *taught,
    text_tables.Verdict(
      share[spoken_of] == 1.0,
      f"The policy earns a badge in every episode: {spoken_of} in "
      f"{round(share[spoken_of] * count)} of {count} ({listed}); badges an "
      f"episode {badges[spoken_of]:.2f} "
      f"({', '.join(f'{n} {badges[n]:.2f}' for n in others)}).",
    ),
  ]


def _taught(
  play: Mapping[str, Any], share: Mapping[str, float]
) -> list[text_tables.Verdict]:
  """What dreams made of the clone: badges, steps to them, and no grinding."""
  pair: Mapping[str, Any] = next(
    (
      row
      for row in play.get("comparisons", [])
      if (row["policy"], row["than"]) == ("policy", "clone")
    ),
    {},
  )
  if "with_badge" not in pair:  # an older measurement, or no clone
    return []
  badge, steps = pair["with_badge"], pair["badge_steps"]
  text = (
    f"Dreams teach: badge in {share['clone']:.0%} of the games as a clone, in "
    f"{share['policy']:.0%} after them, difference in points {_points(badge)}"
  )
  holds: bool | None = badge["low"] > 0
  if share["clone"] == share["policy"] == 1.0:
    holds, text = None, f"{text}; there was nothing to gain"
  found = [text_tables.Verdict(holds, f"{text}.")]
  found.append(
    text_tables.Verdict(
      steps["high"] < 0,
      "It is there sooner: steps to the badge, those of games without one "
      f"counted as {play['episode_length']}, differ by {steps['mean']:.0f} "
      f"[{steps['low']:.0f}, {steps['high']:.0f}].",
    )
  )
  wild = {n: p["wild_wins"]["mean"] for n, p in play["policies"].items()}
  games = play.get("by_episode", {}).get("demonstrator")
  if games:
    median = statistics.median(games["wild_wins"])
    found.append(
      text_tables.Verdict(
        wild["policy"] <= median,
        f"It does not grind: {wild['policy']:.1f} wild battles won in a game, "
        f"the demonstrator in its median game {median:.0f}.",
      )
    )
  return found


def _points(difference: Mapping[str, float]) -> str:
  """A difference of shares in points, as `+54 [+33, +75]`."""
  mean, low, high = (100 * difference[key] for key in ("mean", "low", "high"))
  return f"{mean:+.0f} [{low:+.0f}, {high:+.0f}]"


def film_sentence(film: Mapping[str, Any], end: str, name: str) -> str:
  """What a clip shows."""
  badges = "no badge"
  if film["badges"]:
    badges = f"{film['badges']} badge{'s' * (film['badges'] > 1)}, the last at "
    badges += f"step {film['last_badge']}"
  speed = f"; one step in {film['every']} is shown" if film["every"] > 1 else ""
  return (
    f"{name}, its {end} episode (number {film['episode']}): {badges}, return "
    f"{film['return']:.2f}, {film['steps']:,} steps{speed}."
  )


def _times(reached: Mapping[str, Any] | None) -> str:
  """As `24 (171)`: in how many episodes, and at which step."""
  if not reached or not reached["episodes"]:
    return "-"
  return f"{reached['episodes']} ({reached['median']:.0f})"
