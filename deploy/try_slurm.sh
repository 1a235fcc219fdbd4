#!/bin/bash
# Tries the batch scripts on a SLURM of one node on this machine.
#
#   deploy/try_slurm.sh DIR
#
# Half an hour of two busy cores. Needs Debian's slurmctld, slurmd, munge and
# slurm-client, neither root nor a service of the system. DIR is made, and left
# with all that came of it. Four collectors play one folder full; one is killed,
# one cancelled and requeued. A learner of two processes gives way twice: to a
# learner that nobody disturbs, and when it is told so. Both shall come to what
# undisturbed ones came to, bit for bit. A command that takes its input for bad
# shall not be requeued, one that fails three times.
set -eu
PATH=$PATH:/usr/sbin
refuse() {
  echo "Error: $*" >&2
  exit 2
}
for program in slurmctld slurmd munged sbatch srun; do
  command -v $program >/dev/null || refuse "$program is not there, expected:" \
    "apt-get install slurmctld slurmd munge slurm-client"
done
[ $# = 1 ] || refuse "$# arguments, expected one: DIR, which is made"
mkdir "$1" || refuse "$1: expected a folder that is not there yet"
dir=$(realpath "$1")
cd "$(dirname "$0")/.."
export PYTHON=${PYTHON:-$PWD/.venv/bin/python} JAX_PLATFORMS=cpu
# What SLURM and the scripts write beside them stays in DIR.
export PYTHONPATH=$PWD
ln -s "$PWD/deploy" "$dir/deploy"
cd "$dir"

say() { echo "$(date +%T) $*"; }

# Waits, at most `$1` seconds for `$2`, until the rest is true.
await() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    if [ $SECONDS -ge "$end" ]; then
      say "not within its time: $what"
      squeue
      exit 1
    fi
    sleep 0.3
  done
}

# Whether job `$1` shows all of the others, such as JobState=FAILED.
shows() {
  local job=$1 text item
  shift
  text=" $(scontrol show job -o "$job") "
  for item; do [[ $text == *" $item "* ]] || return 1; done
}

has_shard() { compgen -G "$dir/data/shards/c00$1-*.json" >/dev/null; }

# Whether run `$1` has at least `$2` rows of metrics.
rows() { cat "$dir/$1/metrics.jsonl" 2>/dev/null | wc -l; }
has_rows() { [ "$(rows "$1")" -ge "$2" ]; }
is_idle() { [ "$(sinfo --noheader --format=%T 2>&1 | uniq)" = idle ]; }

# --- The cluster -------------------------------------------------------------
port=$((2000 + RANDOM % 1200))
sed "s|@DIR@|$dir|; s|@HOST@|$(hostname -s)|; s|@USER@|$(id -un)|
  s|@PORT@|$port|" deploy/slurm/one_node.conf >"$dir/slurm.conf"
export SLURM_CONF=$dir/slurm.conf
mkdir "$dir/state" "$dir/spool" "$dir/log"
# jax's coordinator listens at all addresses of a host, here at one.
cat >"$dir/prolog" <<'END'
#!/bin/bash
port=$((SLURM_JOB_ID % 4096 + 61440)) # as jax chooses it
echo "export JAX_COORDINATOR_BIND_ADDRESS=127.0.0.1:$port"
END
chmod +x "$dir/prolog"
(umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
stop() {
  local steps daemon
  # What still runs here does so because something went wrong.
  scancel --user="$(id -un)" 2>/dev/null || true
  steps=$(squeue --steps --noheader --format=%i 2>/dev/null |
    grep "[.][0-9]*$") || true
  [ -z "$steps" ] || scancel --signal=KILL $steps || true
  for _ in {1..60}; do
    [ -n "$(squeue --noheader 2>/dev/null)" ] || break
    sleep 1
  done
  for daemon in slurmd slurmctld munged; do
    [ ! -s "$dir/$daemon.pid" ] || kill "$(cat "$dir/$daemon.pid")" || true
  done
}
trap stop EXIT
munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
  --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" \
  --seed-file="$dir/munged.seed"
slurmctld
slurmd -N localhost
await 30 "a node that is idle" is_idle
say "$(slurmctld -V): one node, two partitions"

batch() { sbatch --parsable --output="$dir/log/%x-%j.out" "$@"; }

# --- Exit codes, beside the rest ---------------------------------------------
bad=$(batch --job-name=bad --array=0 --cpus-per-task=1 \
  deploy/slurm/collect.sbatch --workdir="$dir/bad" --episodes=0)
fails=$(PYTHON=/bin/false batch --job-name=fails --array=0 --cpus-per-task=1 \
  deploy/slurm/collect.sbatch --workdir="$dir/fails")

# --- Collectors --------------------------------------------------------------
games=(--preset=debug --episodes=24 --episode_length=400
  --set=collect.shard_s=1)
array=$(batch --cpus-per-task=1 deploy/slurm/collect.sbatch \
  --workdir="$dir/data" "${games[@]}")
await 120 "records of collector 3" has_shard 3
scancel --signal=KILL "${array}_3.0"
say "collector 3 killed"
await 120 "records of collector 2" has_shard 2
scancel "${array}_2"
await 60 "collector 2 cancelled" shows "${array}_2" JobState=CANCELLED
scontrol requeue "${array}_2"
say "collector 2 cancelled, and requeued"
for index in 0 1 2 3; do
  await 240 "collector $index" shows "${array}_$index" JobState=COMPLETED \
    Restarts=$((index / 2))
done
say "all four collectors have come to their end"

# --- The learner --------------------------------------------------------------
learn() {
  batch --ntasks-per-node=2 --cpus-per-task=1 --job-name="$1" "${@:2}" \
    deploy/slurm/learn.sbatch --preset=debug --data_dir="$dir/data" \
    --workdir="$dir/$1" --set=train.mesh=data=2 --set=train.steps=40 \
    --set=train.log_every=1 --set=train.save_every=15 \
    --set=train.eval_every=0 --set=evaluate.windows=2
}
learner=$(learn learner)
await 1200 "10 updates" has_rows learner 10
whole=$(learn whole --partition=urgent --exclusive)
await 240 "the undisturbed learner begins" shows "$whole" JobState=RUNNING
say "the learner gave way at update $(rows learner)"
await 1200 "the undisturbed learner" shows "$whole" JobState=COMPLETED
await 900 "10 more updates" has_rows learner $(($(rows learner) + 10))
scontrol requeue "$learner"
say "the learner told to begin again, as where there is no time of grace"
await 1200 "the learner" shows "$learner" JobState=COMPLETED Restarts=2
await 1 "one start of the undisturbed learner" shows "$whole" Restarts=0

# --- What came of it ----------------------------------------------------------
await 60 "bad input" shows "$bad" JobState=FAILED ExitCode=2:0 Restarts=0
await 120 "a fault" shows "$fails" JobState=FAILED ExitCode=1:0 Restarts=3
say "bad input was started once, a fault four times"
"$PYTHON" -m experiments.collect_data --workdir="$dir/alone" "${games[@]}" \
  >"$dir/log/alone.out"
"$PYTHON" - "$dir" <<'END'
import json
import pathlib
import sys

import jax
import numpy as np

from data_tools.records import generations
from experiments.runs import metrics
from pokedreamer_jax import checkpoints

root = pathlib.Path(sys.argv[1])
data, alone = (generations.freeze(root / name) for name in ("data", "alone"))
digest = data.content_digest
assert digest == alone.content_digest, "the records differ"
print(f"{data.num_episodes} episodes, {data.num_steps} steps: {digest}, both")

rows, whole = (
  [metrics.repeated(row) for row in metrics.read(root / run / "metrics.jsonl")]
  for run in ("learner", "whole")
)
assert rows == whole, "the losses differ"
for item in ("params", "opt"):
  jax.tree.map(
    np.testing.assert_array_equal,
    checkpoints.load_item(root / "learner", item),
    checkpoints.load_item(root / "whole", item),
  )
meta = json.loads((root / "learner" / "meta.json").read_text())
assert len(meta["starts"]) == 3
print(f"{len(rows)} rows of losses, parameters, optimiser: equal")
END
say "all as undisturbed"
