"""Apply the rules of plan.md to the results of the study, and print what came of each finding.

    python examples/findings/findings.py collect work/findings    take over a study's points and run descriptions
    python examples/findings/findings.py table                    the findings, as README.md shows them
    python examples/findings/findings.py figures                  a figure for each finding, into results/figures
    python examples/findings/findings.py power                    how deep a fall this design would have seen (minutes)

All but ``collect`` read ``results`` and ``seeds`` beside this file alone.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import beside
import click
import numpy as np
from measured import (
    BOTH,
    MAIN_SIZE,
    OTHER,
    RESULTS,
    SEEDS,
    SOURCE,
    TARGET,
    TASKS,
    Key,
    Study,
    json_lines,
    short,
)  # fmt: skip

from fairseq_scaling import laws


class Outcome(Enum):
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    OPEN = "open"


class Row(NamedTuple):
    """One line of the table: a finding or a part of it, what it rests on, what came out."""

    finding: str
    numbers: str
    outcome: Outcome


def decide(confirmed: bool, refuted: bool) -> Outcome:
    return Outcome.CONFIRMED if confirmed else Outcome.REFUTED if refuted else Outcome.OPEN


def held_out_error(curve: laws.Curve) -> float:
    """Error (RMSLE) at the largest budget of the log-law fitted to the four smaller ones."""
    fit = laws.fit(curve, "log_law", protocol="paper")
    return float("nan") if fit.held_out is None else fit.held_out.rmsle


def finding_1(study: Study) -> Iterator[Row]:
    surely, bends, errors, numbers = [], [], [], []
    for task in TASKS:
        bleu, loss = (study.forecast(task, BOTH[task], metric) for metric in ("bleu", "cross_entropy"))
        surely += [bleu.shape.rises, loss.shape.rises]
        bends.append(bleu.shape.bends)
        errors.append(held_out_error(study.curves[Key(task, BOTH[task], MAIN_SIZE, "bleu")]))
        numbers.append(
            f"{task}: BLEU rises {surely[-2]:.2f}, cross-entropy improves {surely[-1]:.2f}, "
            f"BLEU bends {bends[-1]:.2f}, held-out error {errors[-1]:.3f}"
        )
    confirmed = min(surely) >= 0.95 and max(bends) <= 0.05 and all(error <= 0.061 for error in errors)
    refuted = min(surely) <= 0.05 or all(error > 0.15 for error in errors)
    yield Row("1. Aligned data improves both; the log-law predicts", "; ".join(numbers), decide(confirmed, refuted))


def finding_2(study: Study) -> Iterator[Row]:
    alarms, rises, numbers = [], [], []
    for mixture in (TARGET["en-fr"], SOURCE, OTHER["en-fr"]):
        alarms.append(study.alarm("en-fr", mixture))
        rises.append(study.forecast("en-fr", mixture).shape.rises)
        numbers.append(f"{short(mixture)}: alarm {alarms[-1]:.2f}, BLEU rises {rises[-1]:.2f}")
    refuted = min(rises) >= 0.95 and max(alarms) <= 0.05
    yield Row(
        "2a. en-fr: with less alignment BLEU falls while cross-entropy improves",
        "; ".join(numbers),
        decide(max(alarms) >= 0.8, refuted),
    )
    shapes = {mixture: study.forecast("en-de", mixture).shape for mixture in (TARGET["en-de"], SOURCE, OTHER["en-de"])}
    numbers = [
        f"{short(mixture)}: rises {shape.rises:.2f}, falls or bends {shape.falls + shape.bends:.2f}"
        for mixture, shape in shapes.items()
    ]
    yield Row(
        "2b. en-de: every mixture follows the law",
        "; ".join(numbers),
        decide(
            min(shape.rises for shape in shapes.values()) >= 0.95,
            max(shape.falls + shape.bends for shape in shapes.values()) >= 0.95,
        ),
    )


def finding_3(study: Study) -> Iterator[Row]:
    parts: dict[str, list[tuple[float, float]]] = {"near": [], "worse": []}
    numbers: dict[str, list[str]] = {"near": [], "worse": []}
    for task in TASKS:
        largest = study.forecast(task, TARGET[task]).largest
        one = difference(study, task, BOTH[task], TARGET[task], largest)
        parts["near"].append((float(np.mean(one < 1)), float(np.mean(one > 1))))
        numbers["near"].append(f"{task}: {_interval(one)} BLEU, below 1 with {parts['near'][-1][0]:.2f}")
        two = difference(study, task, TARGET[task], SOURCE, largest)
        parts["worse"].append((float(np.mean(two > 0)), float(np.mean(two < 0))))
        numbers["worse"].append(f"{task}: {_interval(two)} BLEU, ahead with {parts['worse'][-1][0]:.2f}")
    for name, title in (
        ("near", "3a. Both languages are ahead of the target alone by less than 1"),
        ("worse", "3b. The source alone is worse than the target alone"),
    ):
        confirmed, refuted = zip(*parts[name], strict=True)
        yield Row(title, "; ".join(numbers[name]), decide(min(confirmed) >= 0.95, min(refuted) >= 0.95))


def difference(study: Study, task: str, first: str, second: str, tokens: float) -> np.ndarray:
    """Draws [d] of the difference in BLEU of two mixtures run again, first less second."""
    one, two = study.forecast(task, first), study.forecast(task, second)
    return laws.difference_of_mixtures(one, two, tokens)[:, 0]


def finding_4(study: Study) -> Iterator[Row]:
    all_gains = {mixture: study.gains("en-fr", mixture) for mixture in (BOTH["en-fr"], OTHER["en-fr"])}
    numbers, falling, intervals = [], [], []
    for mixture, gains in all_gains.items():
        mean, lower, upper = gains.difference
        intervals.append((lower, upper))
        falling.append(gains.means == sorted(gains.means, reverse=True))
        means = ", ".join(f"{gain:.1f}" for gain in gains.means)
        numbers.append(f"{short(mixture)}: gains {means}; first less last {mean:.1f} [{lower:.1f}, {upper:.1f}]")
    confirmed = all(falling) and all(lower > 0 for lower, _ in intervals)
    refuted = all(upper < 0 for _, upper in intervals)
    yield Row("4. The larger D_f, the smaller the gain in BLEU", "; ".join(numbers), decide(confirmed, refuted))


def finding_5(study: Study) -> Iterator[Row]:
    lengths = study.lengths()
    stays = [min(one.penalty.values()) > 0.95 or abs(one.part) <= 0.2 for one in lengths.values()]
    much = [one.part > 0.5 for one in lengths.values()]
    lowest = min(min(one.penalty.values()) for one in lengths.values())
    highest = max(max(one.penalty.values()) for one in lengths.values())
    parts = sorted(one.part for one in lengths.values())
    numbers = (
        f"brevity penalty {lowest:.2f} to {highest:.2f}; its part of the change {parts[0]:.2f} to {parts[-1]:.2f}, "
        f"median {np.median(parts):.2f}; of {len(stays)} curves {sum(stays)} have a penalty above 0.95 or a part "
        f"within 0.2, {sum(much)} a part above 0.5"
    )
    confirmed, refuted = np.mean(stays) >= 0.75, np.mean(much) >= 0.5
    yield Row("5. The brevity penalty stays at 1", numbers, decide(bool(confirmed), bool(refuted)))


FINDINGS = (finding_1, finding_2, finding_3, finding_4, finding_5)


def _interval(draws: np.ndarray) -> str:
    lower, middle, upper = np.quantile(draws, [0.025, 0.5, 0.975])
    return f"{middle:+.1f} [{lower:+.1f}, {upper:+.1f}]"


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def collect(folder: Path) -> None:
    """Take over points, runs and forgetting of the study in FOLDER, after its fit; seeds run elsewhere stay."""
    with (folder / "results/points.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    SEEDS.mkdir(parents=True, exist_ok=True)
    for seed in sorted({row["seed"] for row in rows}):
        with (SEEDS / f"seed{seed}.csv").open("w", encoding="utf-8", newline="") as out:
            table = csv.DictWriter(out, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(row for row in rows if row["seed"] == seed)
    runs = []
    for file in folder.glob("finetuning/**/scores.json"):
        found = json.loads(file.read_text("utf-8"))
        scores = {
            metric: {name: value for name, value in score.items() if name != "statistics"}
            for metric, score in found["scores"].items()
        }
        runs.append({"file": str(file.relative_to(folder)), "run": found["run"], "scores": scores})
    fits = json.loads((folder / "results/fits.json").read_text("utf-8"))
    click.echo(f"{_take_over('runs.jsonl', runs, 'file')} runs")
    _take_over("forgetting.jsonl", fits["forgetting"], "run_id", "subset")


def _take_over(name: str, found: Iterable[Mapping[str, Any]], *key: str) -> int:
    """Write what was found over what is kept under the same key; return how much there is."""
    lines = {tuple(one[field] for field in key): one for one in (*json_lines(SEEDS / name), *found)}
    (SEEDS / name).write_text("".join(f"{json.dumps(lines[place])}\n" for place in sorted(lines)), "utf-8")
    return len(lines)


@main.command()
def table() -> None:
    """Print the findings, and what is shown beside them."""
    study = complete()
    rows = [row for finding in FINDINGS for row in finding(study)]
    click.echo(beside.table(("finding", "numbers", "outcome"), ((row[0], row[1], row[2].value) for row in rows)))
    click.echo("\n" + beside.beside(study))


def complete() -> Study:
    """Return the study, if it has what the rules want: three seeds of everything."""
    study = Study.read()
    if missing := study.incomplete():
        curves = "\n".join(
            f"  {key.task}, {short(key.mixture)}, D_f {key.finetune_tokens}, {key.metric}" for key in missing
        )
        raise click.ClickException(
            f"the rules want three seeds at five budgets, and a baseline of each; not there:\n{curves}"
        )
    return study


@main.command()
def figures() -> None:
    """Draw the figures into results/figures."""
    for file in beside.draw_figures(complete(), RESULTS / "figures"):
        click.echo(file)


@main.command("power")
@click.option("--seed", default=1, show_default=True, help="Of the simulated studies.")
def print_power(seed: int) -> None:
    """Print how often a fall of BLEU would have been seen."""
    click.echo("| BLEU falls by | alarm in simulated studies |\n|---|---|")
    for depth, share in beside.power(complete(), np.random.default_rng(seed)):
        click.echo(f"| {depth:g} | {share:.0%} |")


if __name__ == "__main__":
    main()
