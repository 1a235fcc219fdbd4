"""Writes report.html: one self-contained file about a quickstart.

    python -m experiments.report --workdir=runs/quickstart

Verdicts, dreams, play, curves, costs, commands and configuration; whatever is
not there yet is left out. Nothing in the file needs the network.
"""

import pathlib

from experiments.reports import report
from experiments.runs import cli
from experiments.runs import run_directory

_WORKDIR = cli.string("workdir", "runs/quickstart", "Directory of the run.")


def main() -> None:
  """Reads the work directory and writes the page into it."""
  workdir = pathlib.Path(_WORKDIR.value)
  run_directory.read_config(workdir)  # complains if it is none
  path = workdir / "report.html"
  temporary = path.with_suffix(".tmp")
  temporary.write_text(report.render(workdir), encoding="utf-8")
  temporary.replace(path)
  print(f"Report: {path} ({path.stat().st_size / 2**20:.1f} MiB)")


if __name__ == "__main__":
  cli.run_main(main)
