"""Stands in for fairseq-train and the other programs of a study: the same files, no training.

``python fake_program.py NAME ARGUMENTS...``. Environment:

FAKE_JOURNAL: a line for every start and end, with CUDA_VISIBLE_DEVICES where it is set
FAKE_SECONDS: how long every command takes
FAKE_HANG: the step after which a training stands still
FAKE_STEPS: how many steps a training does before it fails
FAKE_FAIL: a word; a command that holds it fails, with FAKE_CODE
FAKE_KILL: a word; a command that holds it kills what has started it
FAKE_FORGET: the name of a checkpoint that no training writes
FAKE_ADVICE: mixture -> number of budgets -> the advice that the fit gives, as JSON
FAKE_FIT_CODE: what fit-scaling ends with when its files are written
FAKE_CHOICE: the learning rate that is chosen; else the first
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

STEPS = 10
ENDING = ("stop", "finetuning data suffices", "change the data")


def main() -> None:
    name, words = sys.argv[1], sys.argv[2:]
    flags = {word[2:]: words[place + 1] for place, word in enumerate(words[:-1]) if word.startswith("--")}
    what = flags.get("save-dir") or flags.get("path") or (words[0] if words else "")
    gpu = f" gpu={os.environ['CUDA_VISIBLE_DEVICES']}" if "CUDA_VISIBLE_DEVICES" in os.environ else ""
    _journal(f"start {name} {what}{gpu}")
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    if os.environ.get("FAKE_FAIL") and os.environ["FAKE_FAIL"] in " ".join([name, *words]):
        print("something is wrong here")
        sys.exit(int(os.environ.get("FAKE_CODE", "3")))
    if os.environ.get("FAKE_KILL") and os.environ["FAKE_KILL"] in " ".join([name, *words]):
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
    {
        "scaling-preprocess": preprocess,
        "scaling-alignment": alignment,
        "scaling-study": choose,
        "fairseq-train": train,
        "fairseq-generate": generate,
        "score-translations": score,
        "fit-scaling": fit,
    }[name](words, flags)
    _journal(f"end {name} {what}{gpu}")


def preprocess(words: list[str], flags: dict[str, str]) -> None:
    out = Path(flags["out"])
    if out.suffix != ".model":
        out.mkdir(parents=True, exist_ok=True)
        out = out / {"fetch": "raw.json", "clean": "clean.json", "encode": "corpus.json"}[words[0]]
    out.write_text(json.dumps({"fingerprint": os.environ.get("FAKE_FINGERPRINT", "abc")}))


def alignment(words: list[str], flags: dict[str, str]) -> None:
    assert (Path(words[0]) / "corpus.json").exists()
    Path(flags["out"]).write_text("{}")


def choose(words: list[str], flags: dict[str, str]) -> None:
    runs = dict(word.split("=", 1) for word in words if "=" in word)
    assert words[0] == "choose"
    assert all((Path(folder) / "train.log").exists() for folder in runs.values())
    chosen = os.environ.get("FAKE_CHOICE") or next(iter(runs))
    Path(flags["out"]).write_text(chosen)
    Path(flags["out"]).with_name("choice.json").write_text(json.dumps({"chosen": chosen}))


def train(words: list[str], flags: dict[str, str]) -> None:
    folder = Path(flags["save-dir"])
    last = folder / "checkpoint_last.pt"
    done = 0
    for start in (last, Path(flags.get("continue-once", "/nowhere"))):
        if start.exists():
            with zipfile.ZipFile(start) as file:
                done = int(file.read("steps"))
            print(f"| Loaded checkpoint with {done} steps", flush=True)
            break
    if "finetune-from-model" in flags and not Path(flags["finetune-from-model"]).exists():
        sys.exit("no such checkpoint")
    budgets = flags.get("budgets", "").split(",") if "budgets" in flags else []
    last_epoch = int(flags.get("max-epoch", len(budgets)))
    steps = STEPS * last_epoch // len(budgets) if budgets else STEPS
    for step in range(done + 1, steps + 1):
        record = {"num_updates": str(step * 10), "pretrain_tokens": step * 200_000}
        print(f"2026-01-01 00:00:00 | INFO | train_inner | {json.dumps(record)}", flush=True)
        _save(last, step)
        if str(step) == os.environ.get("FAKE_HANG"):
            time.sleep(1000)
        if str(step - done) == os.environ.get("FAKE_STEPS"):
            sys.exit(1)
    for number in range(1, last_epoch + 1):
        if os.environ.get("FAKE_FORGET") != f"checkpoint{number}.pt":
            _save(folder / f"checkpoint{number}.pt", STEPS * number // len(budgets))


def generate(words: list[str], flags: dict[str, str]) -> None:
    assert Path(flags["path"]).exists()
    assert os.environ["PYTHONIOENCODING"] == "utf-8"
    print("H-0\t-0.1\thello")


def score(words: list[str], flags: dict[str, str]) -> None:
    assert Path(words[0]).read_text()
    Path(flags["out"]).write_text("{}")


def fit(words: list[str], flags: dict[str, str]) -> None:
    missing = [word for word in words if word.endswith(".json") and not Path(word).exists()]
    assert not missing, missing
    out = Path(flags["out"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.html").write_text("<p>report</p>")
    if advice := json.loads(os.environ.get("FAKE_ADVICE", "{}")):
        (out / "fits.json").write_text(json.dumps({"curves": _curves(words, advice)}))
    print("the table of results", flush=True)
    if code := int(os.environ.get("FAKE_FIT_CODE", "0")):
        sys.exit(code)


def _curves(words: list[str], advice: dict[str, dict[str, str]]) -> list[dict[str, object]]:
    """Return one curve of BLEU for each mixture whose runs are read, its advice by the number of its budgets."""
    curves: list[dict[str, object]] = []
    for mixture, actions in advice.items():
        folder = mixture.replace(":", "").replace(",", "-")
        number = len({word.split("/")[5] for word in words if word.startswith("finetuning/") and f"/{folder}/" in word})
        action = actions.get(str(number), "run more points")
        curves.append({
            "name": mixture, "metric": "bleu", "setting": {"mixture": mixture},
            "advice": {"action": action, "sentence": f"{action}, after {number} budgets.", "settled": action in ENDING},
        })  # fmt: skip
    return curves


def _save(path: Path, steps: int) -> None:
    temporary = path.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w") as file:
        file.writestr("steps", str(steps))
    temporary.replace(path)


def _journal(line: str) -> None:
    with open(os.environ["FAKE_JOURNAL"], "a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
