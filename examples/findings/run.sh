#!/usr/bin/env bash
# Run the findings, seed by seed: a pretraining seed with the finetuning seed of the same number. The same command goes on
# after a stop. CORES=2 examples/findings/run.sh; results in work/findings.
set -euo pipefail
cd "$(dirname "$0")/../.."
for seed in 1 2 3; do
    .venv/bin/scaling-study run examples/findings/study.yaml --out work/findings --cores "${CORES:-$(nproc)}" --until score \
        --set "pretraining.seeds=[$seed]" --set "finetuning.seeds=[$seed]"
done
.venv/bin/fit-scaling work/findings --out work/findings/results
