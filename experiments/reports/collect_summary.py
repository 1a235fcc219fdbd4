"""What a collection says of itself: while it runs, and at the end."""

from typing import Any


def live(progress: Any) -> dict[str, str]:
  """Values beside the progress bar.

  Args:
    progress: a `data_tools.collecting.progress.Progress`.
  """
  values = {
    "steps": f"{progress.steps:,}",
    "steps_per_s": f"{progress.steps_per_s:,.0f}",
    "maps": f"{progress.maps}",
    "tiles": f"{progress.tiles:,}",
    "battles": f"{progress.battles:,}",
    "disk": f"{size(progress.bytes_to_come)} to come of "
    f"{size(progress.bytes_free)} free",
  }
  if progress.workers_replaced:
    values["replaced"] = f"{progress.workers_replaced}"
  return values


def size(count: float) -> str:
  """A number of bytes for a person."""
  mib = count / 2**20
  return f"{mib:.1f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"


def closing(result: Any, workers: int) -> str:
  """One line of what this call has recorded.

  Args:
    result: a `data_tools.collecting.progress.Result`.
    workers: processes.
  """
  replaced = result.workers_replaced
  return (
    f"collect: {result.new_episodes} episodes, {result.new_steps} steps in "
    f"{result.seconds:.0f} s with {workers} processes: "
    f"{result.new_steps / result.seconds:,.0f} steps/s; {result.maps} maps, "
    f"{result.tiles:,} tiles, {result.battles:,} battles; {replaced} "
    f"process{'' if replaced == 1 else 'es'} replaced"
  )


def new_frames(found: dict[str, int]) -> str:
  """One line of `data_tools.records.new_frames.count`."""
  share = found["new"] / max(found["frames"], 1)
  return (
    f"collect: {found['new']:,} of {found['frames']:,} frames ({share:.1%}) "
    f"are shown nowhere else in the folder, {found['new_different']:,} "
    "different ones"
  )


def owed(missing: dict[int, int], index: int, episodes: int) -> str:
  """What the other collectors of a shared folder still have to record.

  Args:
    missing: collector -> episodes that are not there.
    index: of this collector.
    episodes: how many there shall be in the end.
  """
  others = {i: n for i, n in missing.items() if i != index}
  if not others:
    return f"collect: nobody owes anything, all {episodes} episodes are there"
  shown = [f"collector {i}: {n}" for i, n in list(others.items())[:8]]
  shown += ["..."] if len(others) > 8 else []
  return (
    f"collect: others still owe {sum(others.values())} of {episodes} "
    f"episodes ({', '.join(shown)})"
  )


def by_behaviour(generation: Any) -> dict[str, dict[str, float]]:
  """Means over the episodes of each policy of the mix."""
  groups: dict[str, list[dict[str, float]]] = {}
  for _, entry in generation.episodes():
    groups.setdefault(entry.header.behaviour, []).append(_numbers(entry))
  return {
    behaviour: {
      "episodes": float(len(group)),
      "steps": sum(numbers["steps"] for numbers in group),
      **{
        name: sum(numbers[name] for numbers in group) / len(group)
        for name in group[0]
        if name != "steps"
      },
    }
    for behaviour, group in sorted(groups.items())
  }


def _numbers(entry: Any) -> dict[str, float]:
  """One episode in numbers."""
  terms = entry.summary["reward_terms"]
  return {
    "steps": float(entry.length),
    "badges": terms["badges"],
    "species": terms["species"],
    "maps": float(len(entry.summary["maps"])),
    "tiles": float(entry.summary["tiles"]),
    "battles": float(entry.summary["battles"]),
    "wins": terms["wild_wins"] + terms["trainer_wins"],
  }


def table(generation: Any) -> list[str]:
  """The summary for a person: totals, then means per episode."""
  players = by_behaviour(generation)
  width = max(len(name) for name in players)
  columns = list(next(iter(players.values())))
  lines = [
    f"{generation.size_bytes / generation.num_steps:.0f} bytes a step on disk",
    f"{'player':<{width}} " + " ".join(f"{name:>9}" for name in columns),
  ]
  for name, row in players.items():
    cells = [
      f"{row[c]:>9.0f}" if c in ("episodes", "steps") else f"{row[c]:>9.2f}"
      for c in columns
    ]
    lines.append(f"{name:<{width}} " + " ".join(cells))
  return lines
