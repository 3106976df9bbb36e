"""Logs for the tests: the golden ones, older formats of fairseq, and lines as this plug-in writes them."""

from __future__ import annotations

import json
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"

# fairseq 0.9: printed with a bar, no time, one Namespace; the forms are those of public logs of that version
FAIRSEQ_0_9 = """\
Namespace(arch='transformer', criterion='label_smoothed_cross_entropy', data='data-bin/x', label_smoothing=0.1, \
lr=[0.0005], save_dir='checkpoints', seed=3, sentence_avg=False, source_lang='de', target_lang='en', \
task='translation', user_dir=None)
| [de] dictionary: 8848 types
| [en] dictionary: 6632 types
| model transformer_iwslt_de_en, criterion LabelSmoothedCrossEntropyCriterion
| num. model params: 39469056 (num. trained: 39469056)
| epoch 001:    100 / 1100 loss=11.521, nll_loss=10.881, ppl=1886.05, wps=52922, ups=0.5, wpb=104928, bsz=5325, \
num_updates=101, lr=1.2e-05, gnorm=1.543, clip=0%, oom=0, wall=882, train_wall=756
| epoch 001 | loss 8.326 | nll_loss 7.193 | ppl 146.33 | wps 12876 | ups 4.9 | wpb 2578 | bsz 108 | num_updates 1100 \
| lr 0.000213706 | gnorm 1.201 | clip 0% | oom 0 | wall 4634 | train_wall 4309
| epoch 001 | valid on 'valid' subset | loss 6.438 | nll_loss 5.233 | ppl 37.61 | num_updates 1100
| epoch 002 | loss 6.326 | nll_loss 5.193 | ppl 36.58 | wps 12876 | ups 4.9 | wpb 2578 | bsz 108 | num_updates 2200 \
| lr 0.000213706 | gnorm 1.201 | clip 0% | oom 0 | wall 9634 | train_wall 9309
| epoch 002 | valid on 'valid' subset | loss 5.372 | nll_loss 4.154 | ppl 17.81 | num_updates 2200 | best_loss 5.372
| done training in 9650.1 seconds
"""
# fairseq 0.6: five decimals, keys with valid_ in front
FAIRSEQ_0_6 = """\
Namespace(arch='fconv', criterion='cross_entropy', data='data-bin/x', save_dir='checkpoints', seed=1, \
source_lang='de', target_lang='en', task='translation')
| epoch 001:    600 / 1891 loss=10.902, ppl=1913.74, wps=53373, ups=0.5, wpb=104904, num_updates=600, lr=0.25, wall=1065
| epoch 001 | valid on 'valid' subset | valid_loss 8.11425 | valid_nll_loss 6.8834 | valid_ppl 118.06 | num_updates 600
| done training in 100.0 seconds
"""
# fairseq 0.9 with --log-format json
FAIRSEQ_0_9_JSON = """\
Namespace(arch='transformer', criterion='cross_entropy', data='data-bin/x', save_dir='checkpoints', seed=4, \
source_lang='de', target_lang='en', task='translation')
{"epoch": 1, "update": 0.5, "loss": "9.100", "ppl": "548.75", "num_updates": "50", "lr": "0.001", "wall": "12"}
{"epoch": 1, "train_loss": "9.1", "train_ppl": "548.75", "train_num_updates": "100", "train_wall": "30"}
{"epoch": 1, "valid_loss": "7.001", "valid_ppl": "128.09", "valid_num_updates": "100"}
| done training in 31.0 seconds
"""
CONFIG = (
    "2026-01-01 00:00:00 | INFO | fairseq_cli.train | {'_name': None, 'common': {'_name': None, 'seed': 1}, "
    "'checkpoint': {'_name': None, 'save_dir': '%s'}, "
    "'task': {'_name': 'scaling_translation', 'source_lang': 'en', 'target_lang': 'fr'}, "
    "'criterion': {'_name': 'cross_entropy'}, 'model': {'_name': 't5_tiny'}}"
)


def plugin_log(
    run: dict[str, object], losses: dict[int, float], save_dir: str = "checkpoints", end: bool = True
) -> str:
    """Return a finetuning log as the plug-in writes it: valid losses (base 2) after some updates."""
    stamp = "2026-01-01 00:00:01 | INFO | "
    lines = [CONFIG % save_dir, f"{stamp}fairseq_scaling.tasks | SCALING_RUN {json.dumps(run)}"]
    lines.append(f"{stamp}fairseq.trainer | begin training epoch 1")
    for updates, loss in losses.items():
        record = {"epoch": 1, "valid_loss": f"{loss:g}", "valid_ppl": f"{round(2**loss, 2):g}"}
        record["valid_num_updates"] = str(updates)
        inner = {
            "epoch": 1,
            "update": 0.1,
            "loss": f"{loss:g}",
            "ppl": f"{round(2**loss, 2):g}",
            "num_updates": str(updates),
        }
        lines += [f"{stamp}train_inner | {json.dumps(inner)}", f"{stamp}valid | {json.dumps(record)}"]
    if end:
        lines.append(f"{stamp}fairseq_cli.train | done training in 3.0 seconds")
    return "\n".join(lines) + "\n"


def run_object(run_id: str = "0123456789ab", **changes: object) -> dict[str, object]:
    """Return a SCALING_RUN object."""
    return {
        "format": 1,
        "stage": "finetuning",
        "run_id": run_id,
        "pretrain_tokens": 1_234_567_890,
        "pretrain_tokens_by_language": {"en": 617_283_945, "fr": 617_283_945},
        "mixture": {"en": "1/2", "fr": "1/2"},
        "alignment": 1.0,
        "finetune_tokens": 100_000,
        "finetune_pairs": 5000,
        "source_lang": "en",
        "target_lang": "fr",
        "seed": 1,
        "architecture": "t5_tiny",
        "parameters": 1_402_240,
        **changes,
    }


def score_file(run: dict[str, object] | None, bleu: float, subset: str = "test", **changes: object) -> str:
    """Return what score-translations writes."""
    signature = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
    scores = {
        "bleu": {"value": bleu, "signature": signature, "brevity_penalty": 0.98, "precisions": [50.0, 30.0, 20.0, 10.0]}
    }
    run_id = run["run_id"] if run else None
    content = {
        "format": 1,
        "run_id": run_id,
        "run": run,
        "subset": subset,
        "sentences": 12,
        "scores": scores,
        **changes,
    }
    return json.dumps(content, indent=1)
