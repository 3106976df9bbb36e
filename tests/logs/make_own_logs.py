"""Make the logs of examples/own_logs again, with stock fairseq: python tests/logs/make_own_logs.py [FOLDER].

A toy that shows the form of such logs, no result about translation: the generated language of make_golden.py.
Pretraining fills gaps in French sentences; its checkpoints after 0 to 800 updates are finetuned for English-French and
translate.
Needs fairseq and torch; takes some minutes on one core.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import make_golden as golden

EXAMPLE = Path(__file__).parents[2] / "examples/own_logs"
UPDATES = (50, 100, 200, 400, 800)
SENTENCES = 3000
COMMON = (
    " --arch transformer_tiny --optimizer adam --lr 0.003 --lr-scheduler fixed --criterion cross_entropy"
    " --max-tokens 400 --required-batch-size-multiple 1 --cpu --num-workers 0 --log-format json --log-interval 50"
    " --seed 7"
)
PRETRAIN = (
    "fairseq-train mono --source-lang gaps --target-lang fr --save-dir checkpoints/pretrained --max-update 800"
    " --save-interval-updates 50 --no-epoch-checkpoints" + COMMON
)
FINETUNE = (
    "fairseq-train data --source-lang en --target-lang fr --save-dir checkpoints/{name} --max-update 60"
    " --no-epoch-checkpoints --valid-subset valid,test{start}" + COMMON
)
GENERATE = (
    "fairseq-generate data --path checkpoints/{name}/checkpoint_last.pt --gen-subset test --cpu --num-workers 0"
    " --beam 2 --max-len-b 30 --required-batch-size-multiple 1" + golden.BPE + " --scoring sacrebleu"
)


def main(folder: Path) -> None:
    shutil.rmtree(folder / "logs", ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "driver.py").write_text(golden.DRIVER)
        golden._make_data(work)
        _make_monolingual(work)
        log = golden._run(PRETRAIN, work)
        words = _words_an_update(log)
        finetune_tokens = sum(
            len(line.split()) + 1 for side in ("en", "fr") for line in (work / f"train.{side}").read_text().splitlines()
        )
        rows = ["path,stage,mixture,pretrain_tokens,finetune_tokens"]
        for updates in (0, *UPDATES):
            name = f"after{updates}"
            start = f" --finetune-from-model {_checkpoint(work, updates)}" if updates else ""
            place = folder / "logs" / name
            place.mkdir(parents=True)
            golden._write(place / "train.log", golden._run(FINETUNE.format(name=name, start=start), work), work)
            golden._write(place / "generate.txt", golden._run(GENERATE.format(name=name), work), work)
            mixture = "fr:1" if updates else ""
            rows.append(f"{name}/*,finetuning,{mixture},{round(words * updates)},{finetune_tokens}")
        (folder / "mapping.csv").write_text("\n".join(rows) + "\n")


def _make_monolingual(work: Path) -> None:
    """Write sentences with gaps, and whole, in pieces, under the dictionary of the translation data."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(work / "spm.model"))
    draw = random.Random(2)
    nouns, verbs = list(golden.NOUNS.values()), list(golden.VERBS.values())
    for split, count in (("train", SENTENCES), ("valid", 50)):
        gaps, whole = [], []
        for _ in range(count):
            clauses = (f"le {draw.choice(nouns)} {draw.choice(verbs)} le {draw.choice(nouns)}" for _ in range(2))
            pieces = model.encode(" et ".join(clauses).capitalize() + ".", out_type=str)
            whole.append(" ".join(pieces) + "\n")
            gaps.append(" ".join(piece for piece in pieces if draw.random() > 0.3) + "\n")
        (work / f"mono-{split}.gaps").write_text("".join(gaps))
        (work / f"mono-{split}.fr").write_text("".join(whole))
    golden._run(
        "fairseq-preprocess --source-lang gaps --target-lang fr --trainpref mono-train --validpref mono-valid"
        " --destdir mono --srcdict data/dict.en.txt --tgtdict data/dict.fr.txt --workers 1",
        work,
    )


def _words_an_update(log: str) -> float:
    """Return how many target tokens an update read, from the last record of the pretraining."""
    records = [json.loads(match[1]) for match in re.finditer(r"\| train \| (\{.*\})", log)]
    return float(records[0]["train_wpb"])


def _checkpoint(work: Path, updates: int) -> Path:
    (path,) = (work / "checkpoints/pretrained").glob(f"checkpoint_*_{updates}.pt")
    return path.relative_to(work)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLE)
