"""What plan.md shows without a rule: tables, the power of the design, and a figure for each finding."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measured import BOTH, MAIN_SIZE, METRICS, OTHER, SIZES, TASKS, Key, Study, mixtures_of, short
from scipy import stats

from fairseq_scaling import laws
from fairseq_scaling.quantities import format_tokens


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def beside(study: Study) -> str:
    """Return the tables, as Markdown."""
    parts = (
        ("BLEU at 4 million tokens as predicted from the four smaller budgets (not in the plan)", _predicted(study)),
        ("Scores at the largest D_p, means of the seeds, by alignment", _scores(study)),
        ("Rank correlation of what alignment says beforehand with the scores of the four mixtures", _ranks(study)),
        ("Gain of pretraining on 4 million tokens by D_f, en-fr, means of the seeds", _gains_by_size(study)),
        ("Upstream cross-entropy before and after finetuning, D_f 100k, means of seeds and languages", _forgot(study)),
        ("Cross-entropy of en-fr over D_p and D_f, E + A / (D_p^alpha D_f^beta)", _joint(study)),
    )
    return "\n\n".join(f"{title}:\n\n{shown}" for title, shown in parts)


def _scores(study: Study) -> str:
    rows = []
    for task in TASKS:
        for mixture in mixtures_of(task):
            bleu, loss = (study.at_largest(task, mixture, metric) for metric in METRICS)
            forecast = study.forecast(task, mixture)
            kind, alignment = laws.diagnose(forecast).kind.value, float(forecast.curve.attributes["alignment"])
            rows.append((task, short(mixture), f"{alignment:g}", f"{bleu:.2f}", f"{loss:.3f}", kind))
    return table(("task", "mixture", "alignment", "BLEU", "cross-entropy", "BLEU's curve"), rows)


def _predicted(study: Study) -> str:
    cut = {
        key: replace(curve, held_out=curve.pretrain_tokens == curve.pretrain_tokens.max())
        for key, curve in study.curves.items()
    }
    forecasts = dict(zip(cut, laws.forecast(list(cut.values())), strict=True))
    rows = []
    for key, forecast in forecasts.items():
        if key.metric == "bleu":
            curve = cut[key]
            largest = float(curve.pretrain_tokens.max())
            ahead = forecast.predict(largest)
            law = float(laws.fit(curve, "log_law", protocol="paper").values(largest))
            shown = f"{np.mean(curve.values[curve.held_out]):.2f}", f"{law:.2f}"
            interval = f"{ahead.value:.2f} [{ahead.lower:.2f}, {ahead.upper:.2f}]"
            rows.append((key.task, short(key.mixture), format_tokens(key.finetune_tokens), *shown, interval))
    return table(("task", "mixture", "D_f", "measured", "log-law", "forecast"), rows)


def _ranks(study: Study) -> str:
    """Spearman's correlation over four mixtures; that of cross-entropy with its sign turned, so that 1 is agreement."""
    measured: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for one in study.alignments:
        for name, value in one.measures.items():
            measured[name][f"{one.source_lang}-{one.target_lang}", str(one.mixture)] = value
    rows = []
    for name, values in measured.items():
        found = []
        for task, (metric, sign) in itertools.product(TASKS, zip(METRICS, (1, -1), strict=True)):
            mixtures = mixtures_of(task)
            reached = [sign * study.at_largest(task, mixture, metric) for mixture in mixtures]
            found.append(stats.spearmanr([values[task, mixture] for mixture in mixtures], reached).statistic)
        rows.append((name.replace("_", " "), *(f"{value:+.1f}" for value in found)))
    return table(("measure", *(f"{task}, {title}" for task in TASKS for title in ("BLEU", "cross-entropy"))), rows)


def _gains_by_size(study: Study) -> str:
    rows = []
    for mixture in (BOTH["en-fr"], OTHER["en-fr"]):
        bleu, loss = (study.gains("en-fr", mixture, metric).means for metric in METRICS)
        for place, size in enumerate(SIZES):
            without = float(np.mean(list(study.baselines("en-fr", size, "bleu").values())))
            gains = f"{bleu[place]:+.2f}", f"{bleu[place] / without:.0%}", f"{loss[place]:+.3f}"
            rows.append((short(mixture), format_tokens(size), f"{without:.2f}", *gains))
        mean, lower, upper = study.gains("en-fr", mixture, "cross_entropy").difference
        rows.append((short(mixture), "25k less 400k", "", "", "", f"{mean:+.3f} [{lower:+.3f}, {upper:+.3f}]"))
    return table(("mixture", "D_f", "BLEU without", "gain in BLEU", "as a share", "gain in cross-entropy"), rows)


def _forgot(study: Study) -> str:
    losses: dict[tuple[str, str], dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for one in study.forgetting:
        if one["finetune_tokens"] == MAIN_SIZE and one["before"] is not None:
            tokens = round(one["pretrain_tokens"], -3)
            losses[one["task"], one["mixture"]][tokens].append((one["before"], one["after"]))
    budgets = sorted({tokens for found in losses.values() for tokens in found})
    rows = []
    for (task, mixture), found in sorted(losses.items()):
        means = {tokens: np.mean(pairs, 0) for tokens, pairs in found.items()}
        shown = ("{:.2f}, {:.2f}".format(*means[tokens]) if tokens in means else "" for tokens in budgets)
        rows.append((task, short(mixture), *shown))
    return table(("task", "mixture", *map(format_tokens, budgets)), rows)


def _joint(study: Study) -> str:
    rows = []
    for law in study.joint:
        estimates = [*law["coefficients"].values(), *law["doubled"].values()]
        shown = (f"{one['value']:.2g} [{one['lower']:.2g}, {one['upper']:.2g}]" for one in estimates)
        rows.append((law["curves"][0].split(" / ")[1], *shown))
    names = ("E", "log A", "alpha", "beta", "gain of twice D_p", "of twice D_f", "of twice both")
    return table(("mixture", *names), rows)


DEPTHS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Falls of BLEU, in points, that ``power`` tries."""
STUDIES = 40


def power(study: Study, generator: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Yield the depth of a fall, and the share of simulated studies in which the alarm has at least 0.8.

    Simulated is BLEU of en-fr pretrained on German, beside the measured curves of all others and its own in
    cross-entropy: BLEU rises by 2 points to the middle budget and has fallen by the depth at the largest, with the
    noise and the effects of whole runs that the forecast has measured.
    """
    key = Key("en-fr", OTHER["en-fr"], MAIN_SIZE, "bleu")
    score, loss = study.forecasts[key], study.forecasts[key._replace(metric="cross_entropy")]
    others = [curve for other, curve in study.curves.items() if other.metric == "bleu" and other != key]
    curve = score.curve
    budgets = np.unique(curve.pretrain_tokens)
    steps = np.log(budgets / budgets[0])
    _, run = np.unique(curve.runs, return_inverse=True)
    for depth in DEPTHS:
        truth = np.interp(np.log(curve.pretrain_tokens / budgets[0]), steps[[0, 2, 4]], [4.0, 6.0, 6.0 - depth])
        seen = 0
        for _ in range(STUDIES):
            shared = generator.normal(
                0, np.hypot(score.shared_by_run.sd.value, score.shared_by_seed.sd.value), run.max() + 1
            )
            values = truth + shared[run] + generator.normal(0, score.noise.sd.value, truth.size)
            simulated, *_ = laws.forecast([replace(curve, values=values), *others])
            seen += laws.alarm(simulated, loss).probability >= 0.8
        yield depth, seen / STUDIES


TICKS = (62_500, 250_000, 1_000_000, 4_000_000, 16_000_000)
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
            axes.set_xticks(TICKS, [format_tokens(tokens) for tokens in TICKS])
            axes.minorticks_off()
        if not figure.axes[0].get_legend():
            figure.axes[0].legend(frameon=False)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        return folder / f"{name}.svg"

    def line(axes: Any, key: Key, colour: str, label: str) -> None:
        forecast, curve = study.forecasts[key], study.curves[key]
        grid = np.append(
            np.geomspace(curve.pretrain_tokens.min(), forecast.largest, 40),
            forecast.largest * np.geomspace(1.01, 4, 20),
        )
        band = forecast.predict(grid)
        seen = grid <= 1.001 * forecast.largest
        axes.plot(grid[seen], band.value[seen], color=colour, label=label)
        axes.plot(grid[~seen], band.value[~seen], color=colour, ls="--")
        axes.fill_between(grid, band.lower, band.upper, color=colour, alpha=0.12, lw=0)
        axes.plot(curve.pretrain_tokens, curve.values, ".", color=colour, ms=5)
        axes.set_xlabel("pretraining tokens; dashed: forecast")
        axes.set_ylabel(curve.about.title + (" (nats per token)" if curve.about.is_loss else ""))

    folder.mkdir(parents=True, exist_ok=True)
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    for colour, task in zip(COLOURS, TASKS, strict=False):
        for axes, metric in zip(panels, METRICS, strict=True):
            line(axes, Key(task, BOTH[task], MAIN_SIZE, metric), colour, f"{task}, {short(BOTH[task])}")
    yield save(figure, "finding-1-aligned")

    for task in TASKS:
        figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
        for colour, mixture in zip(COLOURS, mixtures_of(task), strict=True):
            for axes, metric in zip(panels, METRICS, strict=True):
                line(axes, Key(task, mixture, MAIN_SIZE, metric), colour, short(mixture))
        for axes, metric in zip(panels, METRICS, strict=True):
            for value in study.baselines(task, MAIN_SIZE, metric).values():
                axes.axhline(value, color="grey", lw=0.7, ls=":")
        figure.suptitle(f"{task}, D_f {format_tokens(MAIN_SIZE)}; dotted: no pretraining")
        yield save(figure, f"findings-2-3-mixtures-{task}")

    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2))
    for axes, metric in zip(panels, METRICS, strict=True):
        for colour, size in zip(COLOURS, SIZES, strict=False):
            line(axes, Key("en-fr", BOTH["en-fr"], size, metric), colour, f"D_f {format_tokens(size)}")
            for value in study.baselines("en-fr", size, metric).values():
                axes.axhline(value, color=colour, lw=0.7, ls=":")
    figure.suptitle(f"en-fr, {short(BOTH['en-fr'])}; dotted: no pretraining")
    yield save(figure, "finding-4-finetuning-tokens")

    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    for key, one in sorted(study.lengths().items(), reverse=True):
        colour = COLOURS[mixtures_of(key.task).index(key.mixture)]
        style = "-" if key.task == "en-fr" else "--"
        label = f"{key.task}, {short(key.mixture)}" if key.finetune_tokens == MAIN_SIZE else None
        axes.plot(list(one.penalty), list(one.penalty.values()), style, marker=".", color=colour, label=label, lw=1)
    axes.axhline(1, color="grey", lw=0.7, ls=":")
    axes.set(xlabel="pretraining tokens", ylabel="brevity penalty")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    yield save(figure, "finding-5-brevity-penalty")
