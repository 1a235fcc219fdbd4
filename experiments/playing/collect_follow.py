"""`collect_data --follow=RUN_DIR`: rounds with the newest policy of a run.

Every round resolves the mix again, so `policy=RUN_DIR` plays the checkpoint
that is newest by then, with seeds of its own, and ends in a new generation.
Such a player is named with the round, so that `splits` knows all of its rounds
for one behaviour. `rounds.jsonl` names what each round played. A round that was
interrupted is continued while its checkpoint is the newest; else its number is
played anew, with other seeds, beside what was recorded of it.
"""

import hashlib
import json
import pathlib
import time
from typing import Any

from experiments.outputs import json_lines
from experiments.runs import inputs
from experiments.runs import run_directory

ROUNDS_FILE = "rounds.jsonl"
WAIT_S = 2.0  # between looks at a run without a checkpoint


def rounds(root: pathlib.Path) -> list[dict[str, Any]]:
  """What the complete rounds of a folder were; a torn last line is none.

  Raises:
    ValueError: another line is damaged: which round would be next, nobody
      knows.
  """
  log = json_lines.read(root / ROUNDS_FILE)
  if log.remark:
    raise ValueError(log.remark)
  return log.values


def note(root: pathlib.Path, facts: dict[str, Any]) -> None:
  """Adds a complete round; the file is replaced whole."""
  lines = [json.dumps(line) for line in (*rounds(root), facts)]
  temporary = root / f"{ROUNDS_FILE}.tmp"
  temporary.write_text("\n".join(lines) + "\n")
  temporary.replace(root / ROUNDS_FILE)


def seed_of(seed: int, number: int, mix: str) -> int:
  """Seed of a round: no two rounds play the same episodes.

  Args:
    seed: of the run.
    number: of the round, from 0.
    mix: what it plays, with weights instead of paths. It counts, as a round
      that was interrupted may be played anew with a newer checkpoint: with the
      seeds it had, its scripted episodes would come back under other ids.
  """
  import numpy as np

  played = int(hashlib.sha256(mix.encode()).hexdigest()[:8], 16)
  generator = np.random.default_rng([seed, number, 0xF0, played])
  return int(generator.integers(1 << 32))


def wait_for(run: run_directory.Run, directory: str) -> bool:
  """Waits for the first checkpoint; False when asked to stop before."""
  told = False
  while not run.stop_requested:
    try:
      inputs.fingerprint(directory)
      return True
    except ValueError as error:
      if not told:
        run.log(f"collect: waiting for a checkpoint ({error})")
        told = True
      time.sleep(WAIT_S)
  return False
