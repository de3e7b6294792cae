#!/bin/bash
# Train on several machines under Slurm: one process on each node, with all the GPUs that it is given.
#
#   sbatch --nodes=2 --gpus-per-node=2 cluster/slurm.sh runs/256p --res 256 --data /data/cityscapes --batch 32
#
# From the project's folder, which all nodes see, with its virtual environment in .venv (make install). The first
# argument is the run folder, also seen by all nodes; the others are those of train.py. Submitted again with the same
# arguments, or requeued, the run goes on from its last checkpoint.
#
# Exit code 75 means "start me again" (a worker died, or the job was preempted): then the job requeues itself.

#SBATCH --job-name=crn
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output=crn-%j.log

set -u
PORT=${PORT:-23456}
MAX_RESTARTS=${MAX_RESTARTS:-20}
run=${1:?the first argument is the run folder}
shift

# One address for each node, in the same order for everyone.
addresses=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:$PORT\"/" | paste -sd,)
export ADDRESSES=$addresses

# A worker that fails for good (1 a file or the disk, 2 the arguments) leaves this behind: the others then end with 75.
export FAILED=$PWD/crn-$SLURM_JOB_ID.failed
rm -f "$FAILED"

# Each task is told apart by SLURM_NODEID. When one ends badly, the others have a minute to end by themselves. Slurm
# sends SIGTERM to all processes: the shell waits for Python.
srun --kill-on-bad-exit=0 --wait=60 bash -c '
    trap : TERM
    export TF_CONFIG="{\"cluster\": {\"worker\": [$ADDRESSES]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_NODEID}}"
    .venv/bin/python train.py --strategy multi-worker --resume-or-start "$@"
    code=$?
    case $code in 1|2) echo "worker $SLURM_NODEID failed with $code" > "$FAILED" ;; esac
    exit $code
' worker --out "$run" "$@"
code=$?

# srun returns the highest exit code: of a worker that was killed, 128 and its signal's number (130 is
# Ctrl-C).
if [ -e "$FAILED" ]; then
    echo "$(cat "$FAILED"): not started again, see above"
elif [ $code -eq 75 ] || { [ $code -ge 128 ] && [ $code -ne 130 ]; }; then
    if [ "${SLURM_RESTART_COUNT:-0}" -lt "$MAX_RESTARTS" ]; then
        echo "exit code $code: requeued, restart $((${SLURM_RESTART_COUNT:-0} + 1)) of $MAX_RESTARTS"
        scontrol requeue "$SLURM_JOB_ID"
    fi
fi
exit $code
