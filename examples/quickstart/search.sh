#!/usr/bin/env bash
# The search behind study.yaml, one row a line: pretrain on en+fr, finetune, print the cross-entropy on the validation set
# after 100, 200, 300 and 400 updates, and BLEU and chrF on the test set. search.md says what came out.
#
#   examples/quickstart/search.sh CORPUS WORK [ROW ...]
#
# for example: examples/quickstart/search.sh work/quickstart/corpus work/search paper-high paper-low
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
corpus=$1 work=$2
shift 2
bin=$root/.venv/bin
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

common=(--user-dir "$root/fairseq_scaling" --arch t5_tiny --optimizer t5_adafactor --lr-scheduler fixed
    --criterion t5_cross_entropy --num-workers 0 --seed 1 --log-format json --log-interval 100)

# row NAME FINETUNE_TOKENS FINETUNE_LR DROPOUT UPDATES [flags of pretraining; none: the baseline]
row() {
    local name=$1 tokens=$2 rate=$3 dropout=$4 updates=$5
    shift 5
    local start=()
    if [ $# -gt 0 ]; then
        "$bin/fairseq-train" "$corpus" "${common[@]}" --task scaling_pretraining --mixture en:0.5,fr:0.5 \
            --input-length 64 "$@" --save-dir "$work/$name/pretrain" > "$work/$name.pretrain.log" 2>&1
        start=(--finetune-from-model "$work/$name/pretrain/checkpoint_last.pt")
    fi
    "$bin/fairseq-train" "$corpus" "${common[@]}" --task scaling_translation -s en -t fr --finetune-tokens "$tokens" \
        --lr "$rate" --dropout "$dropout" --max-tokens 1200 --max-update "$updates" --valid-subset valid,test \
        --validate-interval 1000 --validate-interval-updates 100 --save-interval 1000 --no-epoch-checkpoints \
        "${start[@]}" --save-dir "$work/$name/finetune" > "$work/$name.finetune.log" 2>&1
    "$bin/fairseq-generate" "$corpus" --user-dir "$root/fairseq_scaling" --task scaling_translation -s en -t fr \
        --path "$work/$name/finetune/checkpoint_last.pt" --gen-subset test --beam 4 --max-len-a 1.5 --max-len-b 8 \
        --max-tokens 6000 --remove-bpe sentencepiece > "$work/$name.out" 2> "$work/$name.generate.log"
    "$bin/score-translations" "$work/$name.out" --reference "$corpus/pairs/en-fr/test.fr.txt" --metrics bleu,chrf \
        --run "$work/$name.finetune.log" --out "$work/$name.scores.json" > /dev/null
    printf '%-12s cross-entropy %s | %s\n' "$name" \
        "$(grep -o 'SCALING_SCORES .*"subset": "valid"' "$work/$name.finetune.log" |
            grep -o 'cross_entropy": [0-9.]*' | cut -c17-21 | tr '\n' ' ')" \
        "$(grep -o '"\(bleu\|chrf\)": {[^}]*"value": [0-9.]*' <(tr -d '\n' < "$work/$name.scores.json") |
            sed 's/": {.*"value": / /; s/"//' | tr '\n' ' ')"
}

# The corruption of T5 and the paper is the default: 15 % of the tokens in spans of 3.
declare -A rows=(
    [baseline]="0.1M 0.03 0.1 400"
    [no-dropout]="0.1M 0.03 0 400"
    [paper-high]="0.1M 0.03 0.1 400 --budgets 2M --lr 0.02 --batch-size 16"
    [paper-low]="0.1M 0.03 0.1 400 --budgets 2M --lr 0.005 --batch-size 16"
    [noise-0.3]="0.1M 0.03 0.1 400 --budgets 2M --lr 0.005 --batch-size 16 --noise-density 0.3"
    [long-high]="0.1M 0.03 0.1 400 --budgets 2M --lr 0.02 --batch-size 16 --noise-density 0.5 --mean-span-length 10"
    [long-low]="0.1M 0.03 0.1 400 --budgets 2M --lr 0.005 --batch-size 12 --noise-density 0.5 --mean-span-length 10"
    [big-batch]="0.1M 0.03 0.1 400 --budgets 2M --lr 0.03 --batch-size 64"
)
order=(baseline no-dropout big-batch paper-high paper-low noise-0.3 long-high long-low)

mkdir -p "$work"
for name in "${@:-${order[@]}}"; do
    # shellcheck disable=SC2086  # a row is words
    row "$name" ${rows[$name]}
done
