"""Lists the verbs: `python -m experiments`."""

import ast
import os
import pathlib
import sys

# By what they are for; the order in which one meets them.
_GROUPS = {
  "Begin": ("doctor", "quickstart", "train_agent"),
  "Experience": (
    *("collect_data", "record_demos", "make_state"),
    *("import_npz", "export_npz"),
  ),
  "Train": (
    *("train_rssm", "clone_behaviour", "train_goal_values"),
    *("train_policy", "import_torch"),
  ),
  "Share": ("export_model", "export_minari", "upload_to_hf"),
  "Look": (
    *("evaluate", "compare", "report", "generate_demo_video"),
    *("play_dream", "export_web", "benchmark_ablation"),
  ),
  "Plan": ("run_agent", "serve_planner"),
  "Measure speed": (
    *("benchmark_data", "benchmark_training", "benchmark_imagination"),
    *("benchmark_acting", "benchmark_agent", "benchmark_atlas"),
    *("benchmark_start", "benchmark_growth"),
  ),
}
NOT_VERBS = (
  *("__init__", "__main__"),
  *("agent_plan", "dream_env", "library", "quickstart_plan"),
)


def verbs() -> dict[str, str]:
  """What each verb does, in a line: the first of its docstring.

  Nothing of a verb is run, so that this works where a package is missing.
  """
  folder = pathlib.Path(__file__).parent
  found = {}
  for path in sorted(folder.glob("*.py")):
    if path.stem not in NOT_VERBS:
      tree = ast.parse(path.read_text(encoding="utf-8"))
      found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
  return found


def main() -> None:
  """Prints the list."""
  left = verbs()
  width = max(map(len, left))
  lines = ["python -m experiments.VERB, with --help for its flags:"]
  grouped = {name for names in _GROUPS.values() for name in names}
  others = tuple(name for name in left if name not in grouped)
  for title, names in {**_GROUPS, "Others": others}.items():
    shown = [f"  {n:<{width}}  {left[n]}" for n in names if n in left]
    lines += ["", title, *shown] if shown else []
  try:
    print("\n".join(lines), flush=True)
  except BrokenPipeError:  # `| head`; what is left goes nowhere
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
  if len(sys.argv) > 1:
    sys.exit(
      f"Error: {sys.argv[1]!r}: verbs are modules, as in "
      f"python -m experiments.{sys.argv[1].lstrip('-')}; without arguments "
      "they are listed"
    )
  main()
