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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from scipy import stats

from fairseq_scaling import laws, load
from fairseq_scaling.mixture import Mixture
from fairseq_scaling.quantities import format_tokens

RESULTS = Path(__file__).parent / "results"
SEED_POINTS = Path(__file__).parent / "seeds"
RUNS = SEED_POINTS / "runs.jsonl"
TASKS = ("en-fr", "en-de")
SIZES = (25_000, 100_000, 400_000)
MAIN_SIZE = 100_000
BOTH = {"en-fr": "en:0.5,fr:0.5", "en-de": "de:0.5,en:0.5"}
TARGET = {"en-fr": "fr:1", "en-de": "de:1"}
SOURCE = "en:1"
OTHER = {"en-fr": "de:1", "en-de": "fr:1"}
SEEDS = 3


class Outcome(Enum):
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    OPEN = "open"


class Row(NamedTuple):
    """One line of the table: a finding or a part of it, what it rests on, what came out."""

    finding: str
    numbers: str
    outcome: Outcome


class Key(NamedTuple):
    task: str
    mixture: str
    finetune_tokens: int
    metric: str


class Gains(NamedTuple):
    """BLEU (or another metric) at the largest D_p less the baseline of the same seed [seeds], by D_f."""

    by_size: Mapping[int, np.ndarray]

    @property
    def means(self) -> list[float]:
        return [float(np.mean(self.by_size[size])) for size in SIZES]

    @property
    def difference(self) -> tuple[float, float, float]:
        """Mean and t interval (95 %) of the gain at the smallest D_f less that at the largest, paired by seed."""
        pairs = self.by_size[SIZES[0]] - self.by_size[SIZES[-1]]
        half = stats.t.ppf(0.975, pairs.size - 1) * pairs.std(ddof=1) / np.sqrt(pairs.size)
        return float(pairs.mean()), float(pairs.mean() - half), float(pairs.mean() + half)


class Lengths(NamedTuple):
    """Brevity penalty by D_p (means over seeds), and its part of the change in log BLEU over the range of D_p."""

    penalty: Mapping[int, float]
    part: float


@dataclass
class Study:
    """Everything the rules need, from ``results``."""

    curves: dict[Key, laws.Curve]
    points: list[dict[str, str]]
    runs: list[dict[str, Any]]

    @classmethod
    def read(cls) -> Study:
        made = {}
        for curve in load(RESULTS / "points.csv"):
            about = curve.attributes
            task = f"{about['source_lang']}-{about['target_lang']}"
            made[Key(task, about["mixture"], int(about["finetune_tokens"]), curve.metric)] = curve
        with (RESULTS / "points.csv").open(encoding="utf-8", newline="") as lines:
            points = list(csv.DictReader(lines))
        runs = RUNS.read_text("utf-8").splitlines()
        return cls(made, points, [json.loads(run) for run in runs])

    @cached_property
    def forecasts(self) -> dict[Key, laws.Forecast]:
        return dict(zip(self.curves, laws.forecast(list(self.curves.values())), strict=True))

    def forecast(self, task: str, mixture: str, metric: str = "bleu", size: int = MAIN_SIZE) -> laws.Forecast:
        return self.forecasts[Key(task, mixture, size, metric)]

    def alarm(self, task: str, mixture: str) -> float:
        """Probability that cross-entropy improves while BLEU stands still or falls."""
        return laws.alarm(self.forecast(task, mixture), self.forecast(task, mixture, "cross_entropy")).probability

    def baselines(self, task: str, size: int, metric: str) -> dict[int, float]:
        """Return the scores without pretraining by seed."""
        return {
            int(point["seed"]): float(point["value"])
            for point in self.points
            if f"{point['source_lang']}-{point['target_lang']}" == task
            and (int(point["finetune_tokens"]), point["metric"], float(point["pretrain_tokens"])) == (size, metric, 0)
        }

    def gains(self, task: str, mixture: str, metric: str = "bleu") -> Gains:
        return Gains({size: self._gain(Key(task, mixture, size, metric)) for size in SIZES})

    def _gain(self, key: Key) -> np.ndarray:
        curve = self.curves[key]
        last = curve.pretrain_tokens == curve.pretrain_tokens.max()
        without = self.baselines(key.task, key.finetune_tokens, key.metric)
        assert curve.seeds is not None
        gains = [value - without[int(seed)] for seed, value in zip(curve.seeds[last], curve.values[last], strict=True)]
        return np.array(gains) * (-1 if curve.about.lower_is_better else 1)

    def lengths(self) -> dict[Key, Lengths]:
        """How much of the change of every curve in BLEU is a change of length."""
        collected: dict[Key, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        for run in self.runs:
            if shares := run["run"].get("mixture"):
                mixture = str(Mixture.parse(",".join(f"{language}:{share}" for language, share in shares.items())))
                bleu = run["scores"]["bleu"]
                logs = (np.log(bleu["brevity_penalty"]), float(np.mean(np.log(np.array(bleu["precisions"]) / 100))))
                key = Key(_task(run), mixture, _size(run), "bleu")
                collected[key][round(run["run"]["pretrain_tokens"], -3)].append(logs)
        found = {}
        for key, budgets in collected.items():
            means = {tokens: np.mean(budgets[tokens], 0) for tokens in sorted(budgets)}
            first, *_, last = means.values()
            change = last - first
            found[key] = Lengths(
                {tokens: float(np.exp(mean[0])) for tokens, mean in means.items()}, float(change[0] / change.sum())
            )
        return found


def _task(run: Mapping[str, Any]) -> str:
    return f"{run['run']['source_lang']}-{run['run']['target_lang']}"


def _size(run: Mapping[str, Any]) -> int:
    return int(run["run"]["finetune_tokens"])


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
    confirmed = min(surely) >= 0.95 and max(bends) <= 0.05 and max(errors) <= 0.061
    refuted = min(surely) <= 0.05 or min(errors) > 0.15
    yield Row("1. Aligned data improves both; the log-law predicts", "; ".join(numbers), decide(confirmed, refuted))


def finding_2(study: Study) -> Iterator[Row]:
    alarms, rises, numbers = [], [], []
    for mixture in (TARGET["en-fr"], SOURCE, OTHER["en-fr"]):
        alarms.append(study.alarm("en-fr", mixture))
        rises.append(study.forecast("en-fr", mixture).shape.rises)
        numbers.append(f"{_short(mixture)}: alarm {alarms[-1]:.2f}, BLEU rises {rises[-1]:.2f}")
    refuted = min(rises) >= 0.95 and max(alarms) <= 0.05
    yield Row(
        "2a. en-fr: with less alignment BLEU falls while cross-entropy improves",
        "; ".join(numbers),
        decide(max(alarms) >= 0.8, refuted),
    )
    shapes = {mixture: study.forecast("en-de", mixture).shape for mixture in (TARGET["en-de"], SOURCE, OTHER["en-de"])}
    numbers = [
        f"{_short(mixture)}: rises {shape.rises:.2f}, falls or bends {shape.falls + shape.bends:.2f}"
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
        numbers.append(f"{_short(mixture)}: gains {means}; first less last {mean:.1f} [{lower:.1f}, {upper:.1f}]")
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
        f"median {np.median(parts):.2f}; within 0.2 on {sum(stays)} of {len(stays)} curves, above 0.5 on {sum(much)}"
    )
    confirmed, refuted = np.mean(stays) >= 0.75, np.mean(much) >= 0.5
    yield Row("5. The brevity penalty stays at 1", numbers, decide(bool(confirmed), bool(refuted)))


FINDINGS = (finding_1, finding_2, finding_3, finding_4, finding_5)


def _short(mixture: str) -> str:
    """``en + fr`` for ``en:0.5,fr:0.5``."""
    return " + ".join(Mixture.parse(mixture).languages)


def _interval(draws: np.ndarray) -> str:
    lower, middle, upper = np.quantile(draws, [0.025, 0.5, 0.975])
    return f"{middle:+.1f} [{lower:+.1f}, {upper:+.1f}]"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def beside(study: Study) -> str:
    """Return what plan.md shows without a rule, as Markdown."""
    parts = ["Scores at the largest D_p, means of the seeds (BLEU, cross-entropy), by alignment:", ""]
    rows = []
    for task in TASKS:
        for mixture in (BOTH[task], TARGET[task], SOURCE, OTHER[task]):
            bleu, loss = (study.forecast(task, mixture, metric) for metric in ("bleu", "cross_entropy"))
            last = [_at_largest(one.curve) for one in (bleu, loss)]
            kind = laws.diagnose(bleu).kind.value
            alignment = f"{bleu.curve.attributes['alignment']:g}"
            rows.append((task, _short(mixture), alignment, f"{last[0]:.2f}", f"{last[1]:.3f}", kind))
    parts.append(_table(("task", "mixture", "alignment", "BLEU", "cross-entropy", "BLEU's curve"), rows))
    parts += ["", "Gain of pretraining on 4 million tokens by D_f, en-fr, means of the seeds:", ""]
    rows = []
    for mixture in (BOTH["en-fr"], OTHER["en-fr"]):
        bleu, loss = study.gains("en-fr", mixture), study.gains("en-fr", mixture, "cross_entropy")
        for place, size in enumerate(SIZES):
            without = float(np.mean(list(study.baselines("en-fr", size, "bleu").values())))
            share = f"{bleu.means[place] / without:.0%}"
            rows.append(
                (_short(mixture), format_tokens(size), f"{without:.2f}", f"{bleu.means[place]:+.2f}", share,
                 f"{loss.means[place]:+.3f}")
            )  # fmt: skip
    head = ("mixture", "D_f", "BLEU without", "gain in BLEU", "as a share", "gain in cross-entropy")
    parts.append(_table(head, rows))
    return "\n".join(parts)


def _at_largest(curve: laws.Curve) -> float:
    return float(np.mean(curve.values[curve.pretrain_tokens == curve.pretrain_tokens.max()]))


DEPTHS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Falls of BLEU, in points, that ``power`` tries."""
STUDIES = 40


def power(study: Study, generator: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Yield the depth of a fall, and the share of simulated studies in which the alarm has at least 0.8.

    Simulated is en-fr pretrained on German, with its own points in cross-entropy: BLEU rises by 2 points to the middle
    budget and has fallen by the depth at the largest; three seeds, with the noise and the effects of whole runs that
    the forecast has measured.
    """
    score, loss = (study.forecast("en-fr", OTHER["en-fr"], metric) for metric in ("bleu", "cross_entropy"))
    budgets = np.unique(score.curve.pretrain_tokens)
    steps = np.log(budgets / budgets[0])
    middle = budgets.size // 2
    for depth in DEPTHS:
        truth = np.interp(steps, steps[[0, middle, -1]], [4.0, 6.0, 6.0 - depth])
        seen = 0
        for _ in range(STUDIES):
            shared = generator.normal(0, np.hypot(score.shared_by_run.sd.value, score.shared_by_seed.sd.value), SEEDS)
            noise = generator.normal(0, score.noise.sd.value, (SEEDS, budgets.size))
            values = truth + shared[:, None] + noise
            runs = np.repeat(np.arange(SEEDS), budgets.size)
            made = laws.Curve("simulated", "bleu", np.tile(budgets, SEEDS), values.ravel(), seeds=runs, runs=runs)
            simulated, cross_entropy = laws.forecast([made, loss.curve])
            seen += laws.alarm(simulated, cross_entropy).probability >= 0.8
        yield depth, seen / STUDIES


COLOURS = ("#0b6e99", "#d1495b", "#2e8540", "#b07d12")


def draw_figures(study: Study, folder: Path) -> Iterator[Path]:
    """Draw a figure for each finding as in the paper: a metric over D_p, a line for each mixture or D_f."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "findings", "axes.spines.top": False, "axes.spines.right": False, "font.size": 9}

    def save(figure: Any, name: str) -> Path:
        for axes in figure.axes:
            axes.set_xscale("log")
            axes.set_xlabel("pretraining tokens")
        figure.axes[0].legend(frameon=False)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        return folder / f"{name}.svg"

    def line(axes: Any, key: Key, colour: str, label: str) -> None:
        forecast, curve = study.forecasts[key], study.curves[key]
        grid = np.geomspace(curve.pretrain_tokens.min(), 4 * forecast.largest, 50)
        band = forecast.predict(grid)
        axes.plot(grid, band.value, color=colour, label=label)
        axes.fill_between(grid, band.lower, band.upper, color=colour, alpha=0.12, lw=0)
        axes.plot(curve.pretrain_tokens, curve.values, ".", color=colour, ms=5)
        axes.set_ylabel(curve.about.title + (" (nats per token)" if curve.about.is_loss else ""))

    def mixtures(task: str) -> tuple[str, ...]:
        return BOTH[task], TARGET[task], SOURCE, OTHER[task]

    folder.mkdir(parents=True, exist_ok=True)
    metrics = ("bleu", "cross_entropy")

    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    for colour, task in zip(COLOURS, TASKS, strict=False):
        for axes, metric in zip(panels, metrics, strict=True):
            line(axes, Key(task, BOTH[task], MAIN_SIZE, metric), colour, f"{task}, {_short(BOTH[task])}")
    yield save(figure, "finding-1-aligned")

    for task in TASKS:
        figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
        for colour, mixture in zip(COLOURS, mixtures(task), strict=True):
            for axes, metric in zip(panels, metrics, strict=True):
                line(axes, Key(task, mixture, MAIN_SIZE, metric), colour, _short(mixture))
        for axes, metric in zip(panels, metrics, strict=True):
            for value in study.baselines(task, MAIN_SIZE, metric).values():
                axes.axhline(value, color="grey", lw=0.7, ls=":")
        figure.suptitle(f"{task}, D_f {format_tokens(MAIN_SIZE)}; dotted: no pretraining")
        yield save(figure, f"findings-2-3-mixtures-{task}")

    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    for axes, metric in zip(panels, metrics, strict=True):
        for colour, size in zip(COLOURS, SIZES, strict=False):
            line(axes, Key("en-fr", BOTH["en-fr"], size, metric), colour, f"D_f {format_tokens(size)}")
            for value in study.baselines("en-fr", size, metric).values():
                axes.axhline(value, color=colour, lw=0.7, ls=":")
    figure.suptitle(f"en-fr, {_short(BOTH['en-fr'])}; dotted: no pretraining")
    yield save(figure, "finding-4-finetuning-tokens")

    figure, axes = plt.subplots(figsize=(5, 3.2))
    for key, one in study.lengths().items():
        colour = COLOURS[mixtures(key.task).index(key.mixture)]
        style = "-" if key.task == "en-fr" else "--"
        label = f"{key.task}, {_short(key.mixture)}" if key.finetune_tokens == MAIN_SIZE else None
        axes.plot(list(one.penalty), list(one.penalty.values()), style, marker=".", color=colour, label=label, lw=1)
    axes.set_ylabel("brevity penalty")
    yield save(figure, "finding-5-brevity-penalty")


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def collect(folder: Path) -> None:
    """Take over points and run descriptions of the study in FOLDER, after its fit; seeds run elsewhere stay."""
    with (folder / "results/points.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    SEED_POINTS.mkdir(parents=True, exist_ok=True)
    for seed in sorted({row["seed"] for row in rows}):
        with (SEED_POINTS / f"seed{seed}.csv").open("w", encoding="utf-8", newline="") as out:
            table = csv.DictWriter(out, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(row for row in rows if row["seed"] == seed)
    kept = RUNS.read_text("utf-8").splitlines() if RUNS.exists() else []
    runs = {json.loads(line)["file"]: line for line in kept}
    for file in sorted(folder.glob("finetuning/**/scores.json")):
        found = json.loads(file.read_text("utf-8"))
        scores = {
            metric: {name: value for name, value in score.items() if name != "statistics"}
            for metric, score in found["scores"].items()
        }
        name = str(file.relative_to(folder))
        runs[name] = json.dumps({"file": name, "run": found["run"], "scores": scores})
    RUNS.write_text("".join(f"{runs[name]}\n" for name in sorted(runs)), "utf-8")
    click.echo(f"{len(runs)} runs")


@main.command()
def table() -> None:
    """Print the findings, and what is shown beside them."""
    study = Study.read()
    rows = [row for finding in FINDINGS for row in finding(study)]
    click.echo(_table(("finding", "numbers", "outcome"), ((row[0], row[1], row[2].value) for row in rows)))
    click.echo("\n" + beside(study))


@main.command()
def figures() -> None:
    """Draw the figures into results/figures."""
    for file in draw_figures(Study.read(), RESULTS / "figures"):
        click.echo(file)


@main.command("power")
@click.option("--seed", default=1, show_default=True, help="Of the simulated studies.")
def print_power(seed: int) -> None:
    """Print how often a fall of BLEU would have been seen."""
    click.echo("| BLEU falls by | alarm in simulated studies |\n|---|---|")
    for depth, share in power(Study.read(), np.random.default_rng(seed)):
        click.echo(f"| {depth:g} | {share:.0%} |")


if __name__ == "__main__":
    main()
