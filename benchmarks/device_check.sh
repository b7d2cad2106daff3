#!/usr/bin/env bash
# What a data-centre GPU makes of the study, in at most 8 minutes:
#
#   benchmarks/device_check.sh TOKENIZER [BANDWIDTH]
#
# TOKENIZER  folder of Llama 3.1's tokenizer (or of any that knows a chat template)
# BANDWIDTH  of the GPU's memory in GB/s (default: 3350, an H100)
#
# PYTHON names an interpreter with envs/requirements.txt (default: .venv/bin/python), DEVICE the device
# (default: cuda). With DEVICE=cpu two layers of the shape are run, to try the script itself.
# Everything is random or comes with the project, so nothing is fetched. Each part is cut at its limit,
# and the others run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
tokenizer=${1:?folder of the tokenizer}
bandwidth=${2:-3350}
device=${DEVICE:-cuda}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=scripts
shape=(--layers 32 --per-n 16 --rows 128)
[ "$device" = cpu ] && shape=(--layers 2 --per-n 1 --rows 8)
failed=0

part() { # part SECONDS NAME COMMAND...
  local limit=$1 name=$2 begin=$SECONDS
  shift 2
  printf '\n=== %s\n' "$name"
  [ "$device" = cpu ] && limit=0 # none: times mean nothing there
  timeout "$limit" "$@" || { echo "failed, or cut after $limit s"; failed=1; }
  echo "took $((SECONDS - begin)) s"
}

part 90 "bfloat16 on the device beside float32 on the CPU" \
  "$python" benchmarks/device_agreement.py --device "$device"
part 370 "the shape of Llama 3.1 8B" \
  "$python" benchmarks/full_size.py --tokenizer "$tokenizer" --device "$device" \
  --bandwidth "$bandwidth" "${shape[@]}"
exit $failed
