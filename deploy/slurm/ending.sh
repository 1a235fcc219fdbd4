# What follows from how a command ended; the batch scripts read it.
#
#   0           done
#   2           bad input: the job stays failed, the command's line says why
#   130, 143    stopped, all saved: the job is requeued and goes on
#   any other   a fault, or killed: requeued as well, three times in all
#
# Only a job that SLURM takes for RUNNING is requeued here: one that gives way
# without a time of grace comes back by itself, one that is cancelled shall not.

ending() {
  local code=$1 job=$SLURM_JOB_ID state faults=0
  # The array's own number would requeue all of it.
  [ -z "$SLURM_ARRAY_JOB_ID" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
  local counted=slurm-$job.faults
  case $code in
  0 | 2)
    rm -f "$counted"
    return "$code"
    ;;
  esac
  state=$(squeue --noheader --jobs="$job" --format=%T)
  if [ "$state" != RUNNING ]; then
    echo "ended with $code; job $job is ${state:-unknown}: left to SLURM"
    return "$code"
  fi
  if [ "$code" != 130 ] && [ "$code" != 143 ]; then
    [ ! -s "$counted" ] || faults=$(<"$counted")
    if [ "$faults" -ge 3 ]; then
      echo "ended with $code, after 3 faults before: job $job stays failed"
      rm -f "$counted"
      return "$code"
    fi
    echo $((faults + 1)) >"$counted" || return "$code"
  fi
  echo "ended with $code: requeueing job $job"
  scontrol requeue "$job"
  return "$code"
}
