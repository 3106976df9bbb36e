#!/usr/bin/env bash
# Fit what has been run, on this machine and on others, and print and draw the findings. It may run beside run.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=.venv/bin here=examples/findings
if [ -d work/findings/finetuning ]; then
    $bin/fit-scaling work/findings --out work/findings/results
    $bin/python $here/findings.py collect work/findings
    $bin/scaling-alignment work/findings/corpus --task en-fr --task en-de --mixture en:0.5,fr:0.5 --mixture en:0.5,de:0.5 \
        --mixture fr --mixture en --mixture de --out $here/seeds/alignment.json
fi
$bin/fit-scaling $here/seeds/*.csv --out $here/results
$bin/python $here/findings.py table
$bin/python $here/findings.py figures
