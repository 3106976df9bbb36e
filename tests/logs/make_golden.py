"""Make the golden logs again with stock fairseq: python tests/logs/make_golden.py [FOLDER].

Needs fairseq and torch; takes about three minutes on one core. The tests only read what it wrote.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
DRIVER = """
import sys, argparse, numpy, torch
torch.serialization.add_safe_globals([argparse.Namespace, numpy.ndarray, numpy.dtype, numpy.dtypes.Int64DType,
                                      numpy.dtypes.Float64DType, numpy._core.multiarray._reconstruct,
                                      numpy._core.multiarray.scalar])
torch.set_num_threads(1)
tool, sys.argv = sys.argv[1], sys.argv[1:]
if tool == "fairseq-train":
    from fairseq_cli.train import cli_main
elif tool == "fairseq-generate":
    from fairseq_cli.generate import cli_main
elif tool == "fairseq-hydra-train":
    from fairseq_cli.hydra_train import cli_main
elif tool == "fairseq-preprocess":
    from fairseq_cli.preprocess import cli_main
cli_main()
"""
NOUNS = {
    "cat": "chat",
    "dog": "chien",
    "book": "livre",
    "bread": "pain",
    "wall": "mur",
    "river": "fleuve",
    "boat": "bateau",
}
VERBS = {"sees": "voit", "takes": "prend", "loses": "perd", "wants": "veut", "keeps": "garde"}
TRAIN = (
    "fairseq-train data --source-lang en --target-lang fr --arch transformer_tiny --optimizer adam --lr 0.003"
    " --max-tokens 200 --required-batch-size-multiple 1 --seed 7 --cpu --num-workers 0 --log-interval 2"
    " --save-dir {save} --max-epoch {epochs} --no-epoch-checkpoints"
)
SMOOTH = " --criterion label_smoothed_cross_entropy --label-smoothing 0.1"
GENERATE_ALL = (
    "fairseq-generate data --path checkpoints/bleu/checkpoint_last.pt --gen-subset test --cpu --num-workers 0 --beam 2"
    " --max-len-b 30"
)
GENERATE = GENERATE_ALL + " --required-batch-size-multiple 1"
BPE = " --bpe sentencepiece --sentencepiece-model spm.model"

# file of the golden folder -> command
RUNS = {
    "train-json-smoothed.log": TRAIN.format(save="checkpoints/json", epochs=3)
    + SMOOTH
    + " --log-format json --valid-subset valid,test",
    "train-simple-smoothed.log": TRAIN.format(save="checkpoints/simple", epochs=3) + SMOOTH + " --log-format simple",
    "train-tqdm.log": TRAIN.format(save="checkpoints/tqdm", epochs=2) + " --criterion cross_entropy",
    "train-none.log": TRAIN.format(save="checkpoints/none", epochs=2) + " --criterion cross_entropy --log-format none",
    "train-json-bleu.log": TRAIN.format(save="checkpoints/bleu", epochs=6)
    + " --criterion cross_entropy --log-format json --eval-bleu --eval-bleu-remove-bpe sentencepiece",
    "train-json-diverged.log": TRAIN.format(save="checkpoints/diverged", epochs=3)
    .replace("adam", "sgd")
    .replace("0.003", "1e12")
    + " --criterion cross_entropy --log-format json",
    "train-hydra.log": "fairseq-hydra-train task=translation task.data={cwd}/data task.source_lang=en"
    " task.target_lang=fr +model._name=transformer_tiny optimizer=adam"
    " optimization.lr=[0.003] lr_scheduler=fixed criterion=cross_entropy dataset.max_tokens=200"
    " optimization.max_epoch=2 dataset.required_batch_size_multiple=1 dataset.num_workers=0 common.cpu=true"
    " common.seed=7 common.log_format=json common.log_interval=2"
    " checkpoint.save_dir=checkpoints/hydra hydra.run.dir={cwd}/hydra",
    "generate-tokens.txt": GENERATE,
    "generate-sacrebleu-detok.txt": GENERATE + BPE + " --scoring sacrebleu",
    "generate-remove-bpe.txt": GENERATE + " --remove-bpe sentencepiece",
    "generate-chrf.txt": GENERATE + BPE + " --scoring chrf",
    "generate-wer.txt": GENERATE + BPE + " --scoring wer",
    "generate-quiet.txt": GENERATE + BPE + " --scoring sacrebleu --quiet",
    "generate-nbest.txt": GENERATE + BPE + " --scoring sacrebleu --nbest 2 --print-alignment",
    "generate-valid.txt": GENERATE.replace("--gen-subset test", "--gen-subset valid") + BPE + " --scoring sacrebleu",
    "generate-missing.txt": GENERATE_ALL + BPE + " --scoring sacrebleu",
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "driver.py").write_text(DRIVER)
        _make_data(work)
        for name, command in RUNS.items():
            _write(folder / name, _run(command, work), work)
        # restarted: the second command goes on from checkpoint_last.pt of the first, into the same file
        first = TRAIN.format(save="checkpoints/restarted", epochs=2) + SMOOTH + " --log-format json"
        again = first.replace("--max-epoch 2", "--max-epoch 4")
        _write(folder / "train-json-restarted.log", _run(first, work) + _run(again, work), work)
        for style in ("json", "simple"):
            first = TRAIN.format(save=f"checkpoints/file-{style}", epochs=2) + SMOOTH
            first += f" --log-format {style} --log-file {style}.log"
            _run(first, work)
            _run(first.replace("--max-epoch 2", "--max-epoch 3"), work)
            _write(folder / f"log-file-{style}-restarted.log", (work / f"{style}.log").read_text(), work)
        _run(GENERATE + BPE + " --scoring sacrebleu --results-path results", work)
        _write(folder / "results-path-generate-test.txt", (work / "results" / "generate-test.txt").read_text(), work)
        for name in ("test.fr", "test.en"):
            shutil.copy(work / f"{name}.txt", folder / f"{name}.txt")


def _run(command: str, work: Path) -> str:
    print(command, flush=True)
    words = command.replace("{cwd}", str(work)).split(" ")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "TZ": "UTC"}
    done = subprocess.run(
        [sys.executable, "driver.py", *words], cwd=work, env=environment, capture_output=True, text=True
    )
    log = work / "hydra" / "hydra_train.log"
    if words[0] == "fairseq-hydra-train" and log.exists():
        return log.read_text()
    return done.stdout + (done.stderr if done.returncode else "")


def _write(path: Path, text: str, work: Path) -> None:
    text = text.replace(str(work), "/study").replace(os.path.realpath(work), "/study")
    text = re.sub(r'File "[^"]*/(site-packages|lib/python3[^/"]*)/', 'File "', text)
    text = re.sub(r"/[^\s'\"]*/site-packages/", "site-packages/", text)
    # the printed module tree of the model says nothing that a reader wants: it is left out to keep the files small
    text = "".join(line for line in text.splitlines(True) if not re.match(r"  +\(|  +\)|\)$", line))
    path.write_text(text)
    print(f"  -> {path.name}: {len(text)} characters", flush=True)


def _make_data(work: Path) -> None:
    import sentencepiece

    draw = random.Random(1)

    def sentence() -> tuple[str, str]:
        english, french = [], []
        for _ in range(draw.randint(1, 3)):
            one, two, verb = draw.choice(list(NOUNS)), draw.choice(list(NOUNS)), draw.choice(list(VERBS))
            english.append(f"the {one} {verb} the {two}")
            french.append(f"le {NOUNS[one]} {VERBS[verb]} le {NOUNS[two]}")
        return " and ".join(english).capitalize() + ".", " et ".join(french).capitalize() + "."

    splits = {name: [sentence() for _ in range(count)] for name, count in (("train", 150), ("valid", 10), ("test", 12))}
    for name, pairs in splits.items():
        for side, language in enumerate(("en", "fr")):
            (work / f"{name}.{language}.txt").write_text("".join(pair[side] + "\n" for pair in pairs))
    both = [text for pair in splits["train"] for text in pair]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(both), model_prefix=str(work / "spm"), vocab_size=60, model_type="bpe", minloglevel=2
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(work / "spm.model"))
    for name, pairs in splits.items():
        for side, language in enumerate(("en", "fr")):
            pieces = (" ".join(model.encode(pair[side], out_type=str)) + "\n" for pair in pairs)
            (work / f"{name}.{language}").write_text("".join(pieces))
    _run(
        "fairseq-preprocess --source-lang en --target-lang fr --trainpref train --validpref valid --testpref test"
        " --destdir data --joined-dictionary --workers 1",
        work,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
