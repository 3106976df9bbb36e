"""What reading logs costs: megabytes per second on one core, memory, a folder of many runs, fit-scaling on a study.

python tests/benchmarks/logs.py [--megabytes 200] [--runs 1000]

The logs are golden ones (tests/logs/golden) with more epochs, records and runs of the same form. Times are the best of
several, of files that the operating system holds in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/logs/golden"
sys.path.insert(0, str(ROOT))

from fairseq_scaling.logs import read_runs  # noqa: E402  found whether or not the package is installed

LOGS = {
    "json": GOLDEN / "train-json-smoothed.log",
    "simple": GOLDEN / "train-simple-smoothed.log",
    "json, this plug-in": GOLDEN / "plugin/pretraining.log",
}
RECORDS = 500  # of train_inner between two validations
STEPS = 100  # updates from one record to the next


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200, help="size of the large logs")
    parser.add_argument("--runs", type=int, default=1000, help="runs of the folder")
    parser.add_argument("--repeats", type=int, default=3, help="times that a log is read")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps(growth(arguments.memory_of)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name, golden in LOGS.items():
            one_log(name, golden, Path(temporary) / "train.log", arguments.megabytes, arguments.repeats)
        folder_of_runs(Path(temporary) / "runs", arguments.runs)
        a_study(Path(temporary) / "study")


def one_log(name: str, golden: Path, path: Path, megabytes: int, repeats: int) -> None:
    growths = []
    for size in (megabytes / 20, megabytes):
        write_log(golden, path, int(size * 1e6))
        done = subprocess.run(
            [sys.executable, __file__, "--memory-of", str(path)], capture_output=True, text=True, check=True
        )
        growths.append(f"{json.loads(done.stdout):.1f} MB at {path.stat().st_size / 1e6:.0f} MB")
    times = []
    for _ in range(repeats):
        began = time.process_time()
        reading = read_runs(path)
        times.append(time.process_time() - began)
        assert reading.runs[0].finished, "the log must be read to its end"
    rate = path.stat().st_size / 1e6 / min(times)
    print(f"{name}: {rate:.0f} MB/s on one core; memory grows by {', by '.join(growths)}", flush=True)


def growth(path: Path) -> float:
    """Return the megabytes by which this process has grown at most while it reads a log, the first block aside."""
    small = path.with_name("first.log")
    with path.open("rb") as stream:
        small.write_bytes(stream.read(2 << 20))
    read_runs(small)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_runs(path)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def write_log(golden: Path, path: Path, size: int) -> None:
    """Write a log of at least ``size`` bytes: the head of the golden one, then epochs like its last, then its end."""
    lines = golden.read_text().splitlines(True)
    inner = [number for number, line in enumerate(lines) if "train_inner" in line]
    head, after = lines[: inner[0]], lines[inner[-1] + 1 :]
    epoch = [line for line in after if "done training" not in line]
    done = [line for line in after if "done training" in line]
    begin = [line for line in head if "begin training epoch" in line]
    draw = random.Random(1)
    written = updates = 0
    with path.open("w") as stream:
        stream.write("".join(head))
        number = 1
        while written < size:
            if number > 1:
                stream.write("".join(re.sub(r"epoch \d+", f"epoch {number}", line) for line in begin))
            block = []
            for _ in range(RECORDS):
                updates += STEPS
                block.append(another(lines[inner[-1]], number, updates, draw))
            block += [another(line, number, updates, draw, False) for line in epoch]
            text = "".join(block)
            written += len(text)
            stream.write(text)
            number += 1
        stream.write("".join(done))


def another(line: str, epoch: int, updates: int, draw: random.Random, inner: bool = True) -> str:
    """Return a record of the same form with numbers as another update has them."""
    loss = 2.0 + 5.0 / (1 + updates / 3e5) + draw.gauss(0, 0.05)
    values = {
        "loss": f"{round(loss + 0.4, 3):g}",
        "nll_loss": f"{round(loss, 3):g}",
        "ppl": f"{round(2 ** round(loss, 3), 2):g}",
        "wps": f"{round(draw.gauss(9000, 900), 1):g}",
        "ups": f"{round(draw.gauss(50, 5), 2):g}",
        "lr": f"{0.01 / max(1.0, updates) ** 0.5:g}",
        "gnorm": f"{round(draw.uniform(0.4, 2), 3):g}",
        "wall": f"{updates // 30}",
        "num_updates": f"{updates:d}" if updates < 10**6 else f"{updates:g}",
        "epoch": str(epoch),
        "update": str(round(updates / RECORDS / STEPS, 3)),
        "pretrain_tokens": str(updates * 1115),
    }
    if "nll_loss" not in line:
        values["loss"] = values["nll_loss"]
    if not inner:
        values = {key: values[key] for key in ("num_updates", "epoch")}

    def put(match: re.Match[str]) -> str:
        return match["before"] + values.get(match["key"], match["value"])

    if "{" in line:
        return re.sub(r'(?P<before>"(?:[a-z]+_)??(?P<key>\w+)": "?)(?P<value>[^",}]+)', put, line)
    line = re.sub(r"(?P<before>[ ,](?P<key>\w+)[= ])(?P<value>[\d.e+-]+)(?=[,|\s])", put, line)
    return re.sub(r"epoch \d{3}", f"epoch {epoch:03d}", line)


def folder_of_runs(folder: Path, runs: int) -> None:
    """Write finetuning runs of four files each, as studies leave them, and read them."""
    size = sum(write_runs(folder, runs))
    times = []
    for _ in range(3):
        began = time.perf_counter()
        reading = read_runs(folder)
        times.append(time.perf_counter() - began)
        assert len(reading.runs) == runs
    print(
        f"folder of {runs} runs, {4 * runs} files, {size / 1e6:.0f} MB: {times[0]:.2f} s, "
        f"again {times[1]:.2f} s, {times[2]:.2f} s"
    )


def write_runs(folder: Path, runs: int) -> Iterator[int]:
    """Write the files of finetuning runs and yield their sizes: five mixtures, five budgets each, then other seeds."""
    names = ("finetuning.log", "generate.log", "generate.txt", "scores.json")
    texts = {name: (GOLDEN / "plugin" / name).read_text() for name in names}
    known = json.loads(texts["scores.json"])["run"]
    draw = random.Random(2)
    for number in range(runs):
        seed, mixture, size = number // 25, number // 5 % 5, number % 5
        shares = {"aa": f"{mixture + 1}/6", "bb": f"{5 - mixture}/6"}
        said = {"pretrain_tokens": 10**6 * 2**size, "mixture": shares, "seed": seed, "run_id": f"{number:012x}"}
        score = (5 + 2 * size - 0.1 * size**2 + 0.2 * mixture) * draw.gauss(1, 0.01)
        place = folder / f"run{number:05d}"
        place.mkdir(parents=True)
        for name, text in texts.items():
            if name == "scores.json":
                content = json.loads(text)
                content["run"].update(said)
                content["run_id"] = said["run_id"]
                for metric in content["scores"].values():
                    metric["value"] *= score / 5
                text = json.dumps(content, indent=1)
            else:
                for key in ("pretrain_tokens", "mixture", "seed", "run_id"):
                    text = text.replace(f'"{key}": {json.dumps(known[key])}', f'"{key}": {json.dumps(said[key])}')
                text = re.sub(r'("cross_entropy": )([\d.]+)', rf"\g<1>{0.4 + 2 / score}", text)
            (place / name).write_text(text)
            yield (place / name).stat().st_size


def a_study(folder: Path) -> None:
    """Run the command on a study of 25 runs, without and with the report, three times each."""
    sum(write_runs(folder, 25))
    for name, options in (("without the report", ["--no-report"]), ("with it", [])):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        # matplotlib's list of fonts is made once in a user's life
        environment.setdefault("MPLCONFIGDIR", str(Path.home() / ".cache/matplotlib"))
        command = [sys.executable, "-m", "fairseq_scaling.cli.fit_scaling", str(folder), *options]
        shown = []
        for _ in range(3):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [*command, "--out", str(folder.parent / "out")], env=environment, capture_output=True, text=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert done.returncode == 0, done.stdout + done.stderr
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            shown.append(f"{time.perf_counter() - began:.2f} s ({used:.2f} s of processor time)")
        print(f"fit-scaling on a study of 25 runs, {name}: {', again '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
