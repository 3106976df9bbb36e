#!/usr/bin/env bash
# From nothing to the report: a small model of one language, its way to Hugging Face's format and back, and the study
# that continues it. Everything is written below work/continued. Run again, it goes on where it was.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$root/.venv/bin
work=$root/work/continued
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if [ ! -e "$work/start/start.pt" ]; then
    # A corpus of four languages, as a published model's vocabulary has many; the model reads gd alone.
    "$bin/scaling-preprocess" fetch --source generated --languages ga,gb,gc,gd --pairs ga-gb --generated-sentences 54000 \
        --generated-pairs 8000 --generated-words 150 --out "$work/base/raw" --overwrite
    "$bin/scaling-preprocess" clean "$work/base/raw" --normalise none --no-language-check --valid 200 --test 1000 \
        --mono-valid 300 --out "$work/base/clean" --overwrite
    "$bin/scaling-preprocess" train-sentencepiece "$work/base/clean" --vocab-size 1000 \
        --out "$work/base/sentencepiece.model" --overwrite
    "$bin/scaling-preprocess" encode "$work/base/clean" --model "$work/base/sentencepiece.model" \
        --out "$work/base/corpus" --overwrite
    "$bin/fairseq-train" "$work/base/corpus" --user-dir "$root/fairseq_scaling" --task scaling_pretraining \
        --mixture gd:1 --budgets 0.5M --input-length 64 --batch-size 12 --noise-density 0.15 --mean-span-length 3 \
        --arch t5_tiny --d-model 64 --d-kv 16 --d-ff 256 --encoder-layers 2 --decoder-layers 2 \
        --criterion t5_cross_entropy --optimizer t5_adafactor --lr-scheduler fixed --lr 0.005 --clip-norm 1.0 \
        --seed 1 --num-workers 0 --log-format json --log-interval 100 --save-dir "$work/base/pretraining"
    # Out into the format in which models are published, and back as somebody else's.
    "$bin/scaling-convert" to-hf "$work/base/pretraining/checkpoint_last.pt" --out "$work/huggingface" --overwrite
    "$bin/scaling-convert" from-hf "$work/huggingface" --out "$work/start/start.pt" --overwrite
fi
"$bin/scaling-study" run "$root/examples/continued/study.yaml" --out "$work/study" "$@"
