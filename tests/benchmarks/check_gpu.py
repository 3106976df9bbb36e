"""Does training on this GPU do what it does on a CPU, and how fast? One table: pass, FAIL, skipped, or a figure.

    python tests/benchmarks/check_gpu.py [--minutes 8] [--parts 1,2,3,4,5,6,7] [--out table.txt]

It needs no network and makes its own data. With one GPU it takes at most --minutes; what does not fit into them is
skipped and said. Without a GPU it says so, does what a CPU can show (parts 2 to 4 in small) and ends with 0. It ends
with 1 where a line says FAIL.

On a machine without network, with Python 3.11 or 3.12 and PyTorch for its GPU: bring the wheels of the project along.

    pip wheel --no-deps --wheel-dir wheels antlr4-python3-runtime==4.9.3       # there is no wheel of it to download
    pip download --no-deps --only-binary :all: --python-version 3.12 --dest wheels ve-fairseq==0.12.3 \\
        omegaconf==2.3.1 hydra-core==1.3.8 bitarray sacrebleu portalocker tabulate colorama lxml regex tqdm packaging \\
        pyyaml numpy protobuf
    pip install --no-index --no-deps wheels/*.whl                                # there

For Python 3.12 they are 43 MiB, 28 MiB where numpy is there already. The list is complete: parts 2 to 4 ran
with nothing but it and PyTorch (on a CPU, with Python 3.11).
Then run it from the project's folder. Hugging Face's T5 is measured where transformers can be imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.data.tiny import write_corpus  # noqa: E402  found whether or not the package is installed

PIECES, SENTINELS, INPUT, BATCH, UPDATES = 2000, 100, 64, 16, 20
PASS, FAIL, SKIPPED, FIGURE = "pass", "FAIL", "skipped", ""
# Losses of float32 on two devices: sums in another order, and 20 updates that start from the difference.
CLOSE = 1e-4
# bfloat16 has 8 bits and fp16 11: a loss that is a mean over hundreds of tokens agrees better than one product does.
HALF = 2**-6
_TRAINING = [
    "--arch", "t5_tiny", "--encoder-layers", "2", "--decoder-layers", "2", "--dropout", "0",
    "--criterion", "t5_cross_entropy", "--optimizer", "t5_adafactor", "--lr", "0.001", "--clip-norm", "1",
    "--seed", "1", "--num-workers", "0", "--log-format", "json", "--log-interval", "1", "--disable-validation",
    "--distributed-world-size", "1",  # fairseq-train takes all GPUs that it sees
]  # fmt: skip
_PRETRAINING = [
    "--task", "scaling_pretraining", "--mixture", "aa:0.5,bb:0.5", "--input-length", str(INPUT), "--batch-size",
    str(BATCH), "--lr-scheduler", "t5_inverse_sqrt", "--constant-updates", "1000",
]  # fmt: skip
_FINETUNING = [
    "--task", "scaling_translation", "-s", "aa", "-t", "bb", "--lr-scheduler", "fixed", "--max-update", str(UPDATES),
    "--max-tokens", "800", "--save-interval", "1000", "--no-epoch-checkpoints",
]  # fmt: skip


@dataclass
class Check:
    """The table so far, and what is left of the time.

    Attributes:
        folder: for everything that is written.
        device: ``cuda`` or ``cpu``.
        ends: when the time is over, on the clock of ``time.monotonic``.
        lines: (part, what, outcome, detail).
        float32: the records of ``undisturbed``, once it was run.
    """

    folder: Path
    device: str
    ends: float
    lines: list[tuple[int, str, str, str]] = field(default_factory=list)
    float32: list[Any] = field(default_factory=list)

    def add(self, part: int, what: str, outcome: str | bool, detail: str = "") -> None:
        """Add a line to the table and print it; True and False are pass and FAIL."""
        shown = outcome if isinstance(outcome, str) else (PASS if outcome else FAIL)
        self.lines.append((part, what, shown, detail))
        print(f"{part}  {what:58} {shown:8} {detail}", flush=True)

    def has(self, seconds: float) -> bool:
        """Return whether that much of the time is left."""
        return time.monotonic() + seconds < self.ends

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="the most time it may take (default 8)")
    parser.add_argument("--parts", default="1,2,3,4,5,6,7", help="numbers of the parts to do (default: all)")
    parser.add_argument("--out", type=Path, help="file to write the table to as well")
    options = parser.parse_args(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wanted = [int(part) for part in options.parts.split(",")]
    with tempfile.TemporaryDirectory() as name:
        check = Check(Path(name), device, time.monotonic() + 60 * options.minutes)
        print(_machine(device), flush=True)
        stand_in_for_scikit_learn(check.folder / "stand-ins")
        make_corpus(check.corpus, PIECES, 4000)
        for number, part in parts(device).items():
            if number not in wanted:
                continue
            try:
                part(check)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                check.add(number, "ended with an error", FAIL, str(error).strip().splitlines()[-1][:200])
    if options.out:
        rows = "".join(f"{part}\t{what}\t{outcome}\t{detail}\n" for part, what, outcome, detail in check.lines)
        options.out.write_text(f"{_machine(device)}\n{rows}")
    failed = sum(outcome == FAIL for _, _, outcome, _ in check.lines)
    print(f"{len(check.lines)} lines, {failed} failed" + ("" if device == "cuda" else "; no GPU was found"))
    return 1 if failed else 0


def parts(device: str) -> dict[int, Callable[[Check], None]]:
    """Return number -> part; those that a CPU can do, where there is no GPU."""
    found = {1: same_on_both, 2: half_precision, 3: killed_and_resumed, 4: from_one_to_the_other}
    if device == "cpu":
        del found[1]
        return found
    from tests.benchmarks import gpu_speed

    return found | {5: gpu_speed.throughput, 6: gpu_speed.largest_batch, 7: several_jobs}


def stand_in_for_scikit_learn(folder: Path) -> None:
    """Where scikit-learn is missing, let fairseq import empty modules: it wants names of metrics that nobody here uses.

    The wheels of scikit-learn and of scipy, which it needs, are more than all others together.
    """
    if importlib.util.find_spec("sklearn") is None:
        for name in ("sklearn/__init__", "sklearn/metrics", "scipy/__init__", "scipy/stats"):
            file = folder / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("" if name.endswith("__init__") else "def __getattr__(name): return None\n")
        sys.path.append(str(folder))  # last: where scipy is there, it is found before


def make_corpus(folder: Path, pieces: int, sentences: int) -> Path:
    """Write random text in two languages, that many sentences of 16 tokens on average, and pairs of them."""
    random = np.random.default_rng(0)

    def text(number: int) -> list[list[int]]:
        # Frequent pieces are more frequent, as in text: there is something to learn.
        lengths = random.integers(8, 25, number)
        return [(4 + np.minimum(random.zipf(1.3, size) - 1, pieces - 1)).tolist() for size in lengths]

    folder.mkdir(parents=True)
    pairs = {"aa-bb": (text(2000), text(2000))}
    return write_corpus(folder, {name: text(sentences) for name in ("aa", "bb")}, pairs, pieces, SENTINELS)


def budget(updates: int) -> str:
    """Return the tokens of so many pretraining updates, as --budgets wants them."""
    from fairseq_scaling.data.corruption import SpanCorruption

    return str(updates * BATCH * SpanCorruption.for_input_length(INPUT).block_length)


def train(
    check: Check,
    name: str,
    *arguments: object,
    device: str | None = None,
    kill_at: int = 0,
    corpus: Path | None = None,
) -> list[Any]:
    """Run fairseq-train and return its records of updates.

    Args:
        name: of the folder for checkpoints.
        corpus: folder of the text; that of the check unless it is said.
        device: ``cpu`` or ``cuda``; the one that is checked unless it is said.
        kill_at: the process is killed with -9 after this update.

    Raises:
        RuntimeError: it failed; the message is the end of what it printed.
    """
    command = [sys.executable, "-m", "fairseq_cli.train", str(corpus or check.corpus)]
    command += ["--user-dir", str(ROOT / "fairseq_scaling")]
    command += [*_TRAINING, *map(str, arguments), "--save-dir", str(check.folder / name)]
    command += ["--cpu"] if (device or check.device) == "cpu" else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}
    records, printed = [], []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=check.folder, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(line)
            _, mark, payload = line.partition("train_inner | ")
            if mark:
                records.append(json.loads(payload) | {"clock": time.perf_counter()})
                if kill_at and int(records[-1]["num_updates"]) >= kill_at:
                    os.kill(process.pid, signal.SIGKILL)
                    break
    if process.returncode and not kill_at:
        raise RuntimeError("".join(printed[-3:]))
    return records


def undisturbed(check: Check) -> list[Any]:
    """Return the records of a pretraining in float32, which several parts compare with; it is run once."""
    if not check.float32:
        saving = ["--save-interval-updates", 5]
        check.float32 += train(check, "float32", *_PRETRAINING, "--budgets", budget(UPDATES), *saving)
    return check.float32


def compare(check: Check, part: int, what: str, one: list[Any], other: list[Any], tolerance: float) -> None:
    """Add lines: whether the updates saw the same tokens, and by how much their losses differ, in nats per token."""
    names = ("num_updates", "wpb", "bsz", "pretrain_tokens")
    seen = [[[record.get(name) for name in names] for record in records] for records in (one, other)]
    check.add(
        part, f"{what}: same batches and consumed tokens", bool(one) and seen[0] == seen[1], f"{len(one)} updates"
    )
    losses = [[float(record["cross_entropy"]) for record in records] for records in (one, other)]
    differences = [abs(a - b) / (abs(b) if tolerance == HALF else 1) for a, b in zip(*losses, strict=False)]
    largest = max(differences, default=float("inf"))
    found = "the same bit for bit" if largest == 0 else f"largest difference {largest:.1e}"
    check.add(part, f"{what}: losses", largest <= tolerance, f"{found}, allowed {tolerance:.1e}")


def same_on_both(check: Check) -> None:
    """Part 1: the same training on the GPU and on the CPU, in float32."""
    exact = torch.get_float32_matmul_precision() == "highest" and not torch.backends.cuda.matmul.allow_tf32
    check.add(1, "TF32 is off unless asked for", exact)
    tokens = ["--budgets", budget(UPDATES)]
    runs = {device: train(check, f"pre-{device}", *_PRETRAINING, *tokens, device=device) for device in ("cpu", "cuda")}
    compare(check, 1, "pretraining on GPU and CPU, float32", runs["cuda"], runs["cpu"], CLOSE)
    start = ["--finetune-from-model", str(check.folder / "pre-cpu" / "checkpoint_last.pt")]
    runs = {device: train(check, f"fine-{device}", *_FINETUNING, *start, device=device) for device in ("cpu", "cuda")}
    compare(check, 1, "finetuning on GPU and CPU, float32", runs["cuda"], runs["cpu"], CLOSE)


def half_precision(check: Check) -> None:
    """Part 2: bfloat16 and fp16 beside float32, and what an overflow does to the count of tokens."""
    tokens = ["--budgets", budget(UPDATES)]
    exact = undisturbed(check)
    bf16 = train(check, "bf16", *_PRETRAINING, *tokens, "--bf16-autocast")
    compare(check, 2, "--bf16-autocast beside float32", bf16, exact, HALF)
    if check.device == "cpu":
        check.add(2, "--fp16", SKIPPED, "needs a GPU")
        return
    fp16 = train(check, "fp16", *_PRETRAINING, *tokens, "--fp16", "--fp16-init-scale", 128)
    compare(check, 2, "--fp16 beside float32", fp16, exact, HALF)
    # A scale that overflows: these batches were read, but the model did not learn from them.
    skipped = train(check, "overflow", *_PRETRAINING, *tokens, "--fp16", "--fp16-init-scale", 2**22)
    lost = UPDATES - int(skipped[-1]["num_updates"])
    check.add(2, "batches skipped by overflow", lost > 0, f"{lost} of {UPDATES}")
    counts = [int(records[-1]["pretrain_tokens"]) for records in (skipped, exact)]
    right = counts[0] * UPDATES == counts[1] * (UPDATES - lost)
    check.add(2, "D_p counts the batches that made an update", right, f"{counts[0]:,} of {counts[1]:,} tokens")


def killed_and_resumed(check: Check) -> None:
    """Part 3: a run that was killed and resumed, beside one that was not."""
    whole = undisturbed(check)
    arguments = [*_PRETRAINING, "--budgets", budget(UPDATES), "--save-interval-updates", 5]
    train(check, "killed", *arguments, kill_at=8)
    resumed = train(check, "killed", *arguments)
    first = int(resumed[0]["num_updates"]) if resumed else 0
    check.add(3, "killed with -9 after update 8, resumed", 0 < first <= 9, f"goes on with update {first}")
    # On a GPU sums may run in another order each time; a CPU repeats them exactly.
    allowed = 0.0 if check.device == "cpu" else CLOSE
    compare(check, 3, "resumed beside undisturbed", resumed, whole[-len(resumed) :], allowed)


def from_one_to_the_other(check: Check) -> None:
    """Part 4: translations and checkpoints of one device on the other."""
    undisturbed(check)
    source = check.folder / "float32" / "checkpoint_last.pt"
    one = translations(source, "cpu")
    if check.device == "cpu":
        check.add(4, "beam search twice: the same translations", one == translations(source, "cpu"), f"{len(one)}")
        check.add(4, "checkpoints of one device read on the other", SKIPPED, "needs a GPU")
        return
    two = translations(source, "cuda")
    same = sum(a == b for a, b in zip(one, two, strict=True))
    check.add(4, "beam search on GPU and CPU, float32: same translations", same == len(one), f"{same} of {len(one)}")
    for written, read in (("cuda", "cpu"), ("cpu", "cuda")):
        resumed_elsewhere(check, written, read)


def resumed_elsewhere(check: Check, written: str, read: str) -> None:
    """Add a line: a run is prolonged by a budget on another device, with its weights and its optimizer's state."""
    train(check, f"on-{written}", *_PRETRAINING, "--budgets", budget(5), device=written)
    shutil.copytree(check.folder / f"on-{written}", check.folder / f"then-{read}")
    longer = ["--budgets", f"{budget(5)},{budget(8)}"]
    records = train(check, f"then-{read}", *_PRETRAINING, *longer, device=read)
    first = int(records[0]["num_updates"]) if records else 0
    check.add(4, f"a checkpoint written on {written} is resumed on {read}", first == 6, f"update {first}")


def translations(checkpoint: Path, device: str) -> list[list[int]]:
    """Return the best translation of 32 random sentences by beam search, as token ids."""
    from fairseq.sequence_generator import SequenceGenerator

    from fairseq_scaling.exchange.checkpoint import read_checkpoint
    from tests.models.small import make_model, make_task

    found = read_checkpoint(checkpoint)
    rows = len(found.weights["encoder.embed_tokens.weight"])
    names = ("d_model", "d_kv", "d_ff", "encoder_layers", "decoder_layers", "num_heads", "feed_forward", "output_layer")
    model = make_model(rows, "t5", **{name: found.settings[name] for name in names})
    model.load_state_dict(found.weights)
    model = model.to(device).eval()
    generator = SequenceGenerator([model], make_task(rows).source_dictionary, beam_size=4, max_len_a=0, max_len_b=20)
    source = torch.randint(4, PIECES, (32, 18), generator=torch.Generator().manual_seed(1)).to(device)
    sample = {"net_input": {"src_tokens": source, "src_lengths": None, "prev_output_tokens": source[:, :1]}}
    return [best[0]["tokens"].tolist() for best in generator.generate([model], sample)]


def several_jobs(check: Check) -> None:
    """Part 7: two jobs on one GPU, and one job on all GPUs."""
    if not check.has(60):
        check.add(7, "two jobs on one GPU", SKIPPED, "no time left")
        return
    from tests.benchmarks import gpu_speed

    one, two = (gpu_speed.jobs_at_once(check, number) for number in (1, 2))
    check.add(7, "two t5_small jobs on one GPU, beside one", FIGURE, f"{sum(two) / sum(one):.2f} times the tokens/s")
    count = torch.cuda.device_count()
    if count < 2:
        check.add(7, "several GPUs", SKIPPED, "there is one")
        return
    tokens = ["--budgets", budget(UPDATES)]
    alone = train(check, "alone", *_PRETRAINING, *tokens)
    shared = ["--batch-size", str(BATCH // count), "--distributed-world-size", str(count)]
    together = train(check, "together", *_PRETRAINING, *tokens, *shared)
    compare(check, 7, f"{count} GPUs beside one", together, alone, CLOSE)


def _machine(device: str) -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU: what a CPU can show"
    peers = "with transformers" if importlib.util.find_spec("transformers") else "without transformers"
    return f"{name}; PyTorch {torch.__version__}, Python {python}, {peers}; {time.strftime('%Y-%m-%d')}"


if __name__ == "__main__":
    sys.exit(main())
