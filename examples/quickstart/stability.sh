#!/usr/bin/env bash
# Is the quickstart's answer stable? Repeats it with other seeds of pretraining and finetuning, once in float32 throughout,
# and once with the processor's newer instructions (AVX-512, AMX) left alone; then prints what each repetition advises.
#
#   examples/quickstart/stability.sh WORK [REPETITIONS]
#
# for example: nice examples/quickstart/stability.sh work/stability
#
# One run of the study takes 23 minutes and 0.6 GB on the machine of README.md, so all twelve about five hours and 8 GB in
# WORK. Stopped and started again, the command goes on where it was. The text is made once. The points of a finished
# repetition are kept in stability/, so that another day or another machine can run the next ones; what is kept is not run
# again.
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$folder/../.." && pwd)
work=$1 repetitions=${2:-10}
study=$folder/study.yaml
bin=$root/.venv/bin
cores=${CORES:-$(nproc)}
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
mkdir -p "$work"

"$bin/scaling-study" run "$study" --out "$work/text" --cores "$cores" --until encode

# repeat NAME [options of scaling-study run]
repeat() {
    local out=$work/$1
    [ ! -e "$folder/stability/$1.csv" ] || return 0
    shift
    if [ ! -e "$out" ]; then
        cp -a "$work/text" "$out.part"
        mv "$out.part" "$out"
    fi
    "$bin/scaling-study" run "$study" --out "$out" --cores "$cores" "$@" > "$out.log" 2>&1 ||
        { echo "$out failed: $out.log says why" >&2; return 1; }
    "$bin/python" "$folder/stability.py" keep "$out"
}

for i in $(seq "$repetitions"); do
    repeat "seeds-$i" --set "pretraining.seeds=[$((3 * i + 3)), $((3 * i + 4)), $((3 * i + 5))]" --set "finetuning.seeds=[$((i + 2))]"
done
repeat float32 --set model.fairseq.matmul-precision=highest
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 repeat avx2

exec "$bin/python" "$folder/stability.py" table
