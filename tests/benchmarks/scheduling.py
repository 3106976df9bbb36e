"""What it costs to schedule a job of a study that has nothing to do: ``python -m tests.benchmarks.scheduling``.

Two studies of different size run with programs that only write their files. The difference between the two, divided by
the jobs between them, is the cost of one job; start and end of the study itself drop out. From it goes what the same
program takes when it is started alone. Goal: below one second a job.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import yaml

from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.settings.config import load_study
from tests.study.conftest import Fakes, small_study

Cost = tuple[float, float]


def measured(do: Callable[[], object]) -> Cost:
    """Return (processor seconds of all children, seconds on the clock)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    do()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - began


def study_of(seeds: int, folder: Path) -> tuple[Path, int]:
    """Write a study.yaml with three jobs for each seed and four more; return it and its number of jobs."""
    values = small_study()
    del values["text"]
    values |= {"corpus": "corpus"}
    values["pretraining"] = {"mixtures": ["de:1"], "budgets": ["1M"]}
    values["finetuning"] |= {"seeds": list(range(1, seeds + 1)), "baseline": False}
    (folder / "corpus").mkdir()
    (folder / "corpus/corpus.json").write_text('{"fingerprint": "abc"}')
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values))
    return path, len(make_plan(load_study(path)).jobs)


def run_study(seeds: int, cores: int) -> tuple[int, Cost]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fakes = Fakes(folder)
        path, jobs = study_of(seeds, folder)

        def run() -> None:
            result = fakes.run("run", path, "--out", folder / "out", "--cores", str(cores))
            assert result.returncode == 0, result.stderr

        return jobs, measured(run)


def start_alone() -> Cost:
    """Return the cost of starting one of the programs by hand."""
    with tempfile.TemporaryDirectory() as name:
        fakes = Fakes(Path(name))
        (Path(name) / "generate.txt").write_text("x")
        command = [fakes.programs / "score-translations", f"{name}/generate.txt", "--out", f"{name}/scores.json"]
        environment = fakes.environment()
        return measured(lambda: subprocess.run(command, env=environment, check=True))


@click.command()
@click.option("--small", default=4, show_default=True, help="Finetuning seeds of the smaller study.")
@click.option("--large", default=44, show_default=True, help="Finetuning seeds of the larger study.")
@click.option("--cores", default=1, show_default=True)
@click.option("--repeats", default=3, show_default=True, help="The best of so many runs counts.")
def main(small: int, large: int, cores: int, repeats: int) -> None:
    few, many = ([run_study(seeds, cores) for _ in range(repeats)] for seeds in (small, large))
    alone = [start_alone() for _ in range(5 * repeats)]
    print(f"{few[0][0]} and {many[0][0]} jobs without work, {cores} side by side, best of {repeats}")
    print(f"{'':<36}{'processor':>12}{'clock':>12}")
    for what, values in (
        (f"study of {few[0][0]} jobs", [min(cost[kind] for _, cost in few) for kind in (0, 1)]),
        (f"study of {many[0][0]} jobs", [min(cost[kind] for _, cost in many) for kind in (0, 1)]),
        ("one program started alone", [min(cost[kind] for cost in alone) for kind in (0, 1)]),
        ("a further job, beyond that", _per_job(few, many, alone)),
    ):
        print(f"{what:<36}" + "".join(f"{value:>10.3f} s" for value in values))


def _per_job(few: list[tuple[int, Cost]], many: list[tuple[int, Cost]], alone: list[Cost]) -> list[float]:
    further = many[0][0] - few[0][0]
    return [
        (min(cost[kind] for _, cost in many) - min(cost[kind] for _, cost in few)) / further
        - min(cost[kind] for cost in alone)
        for kind in (0, 1)
    ]


if __name__ == "__main__":
    main()
