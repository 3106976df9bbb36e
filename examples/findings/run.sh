#!/usr/bin/env bash
# Run the findings, seed by seed: a pretraining seed with the finetuning seed of the same number. The same command goes on
# after a stop. Other machines can run other seeds: SEEDS=3 examples/findings/run.sh. Files go to work/findings.
set -euo pipefail
cd "$(dirname "$0")/../.."
for seed in ${SEEDS:-1 2 3}; do
    .venv/bin/scaling-study run examples/findings/study.yaml --out work/findings --cores "${CORES:-$(nproc)}" --until score \
        --set "pretraining.seeds=[$seed]" --set "finetuning.seeds=[$seed]"
done
exec examples/findings/fit.sh
