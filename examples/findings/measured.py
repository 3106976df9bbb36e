"""What the study has measured: everything that findings.py and beside.py need, from ``results`` and ``seeds``."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from fairseq_scaling import laws, load
from fairseq_scaling.alignment_file import Alignment, read_alignment_file
from fairseq_scaling.mixture import Mixture

RESULTS = Path(__file__).parent / "results"
SEEDS = Path(__file__).parent / "seeds"
TASKS = ("en-fr", "en-de")
SIZES = (25_000, 100_000, 400_000)
MAIN_SIZE = 100_000
METRICS = ("bleu", "cross_entropy")
BOTH = {"en-fr": "en:0.5,fr:0.5", "en-de": "de:0.5,en:0.5"}
TARGET = {"en-fr": "fr:1", "en-de": "de:1"}
SOURCE = "en:1"
OTHER = {"en-fr": "de:1", "en-de": "fr:1"}


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


def json_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


@dataclass
class Study:
    """What ``fit-scaling`` made of the points of all seeds, and what was kept of their runs.

    Attributes:
        curves: by task, mixture, D_f and metric.
        points: the rows of points.csv.
        runs: of each finetuning, its description and scores.
        forgetting: upstream cross-entropy of each finetuning and language, before and after.
        joint: the laws over D_p and D_f.
        alignments: what scaling-alignment measured on the text.
    """

    curves: dict[Key, laws.Curve]
    points: list[dict[str, str]]
    runs: list[dict[str, Any]]
    forgetting: list[dict[str, Any]]
    joint: list[dict[str, Any]]
    alignments: list[Alignment]

    @classmethod
    def read(cls, results: Path = RESULTS, seeds: Path = SEEDS) -> Study:
        made = {}
        for curve in load(results / "points.csv"):
            about = curve.attributes
            key = Key(
                f"{about['source_lang']}-{about['target_lang']}",
                about["mixture"],
                int(about["finetune_tokens"]),
                curve.metric,
            )
            if key in made:
                raise ValueError(f"{key} has two curves: were the seeds run on the same text?")
            made[key] = curve
        with (results / "points.csv").open(encoding="utf-8", newline="") as lines:
            points = list(csv.DictReader(lines))
        fits, alignment = results / "fits.json", seeds / "alignment.json"
        return cls(
            curves=made,
            points=points,
            runs=json_lines(seeds / "runs.jsonl"),
            forgetting=json_lines(seeds / "forgetting.jsonl"),
            joint=json.loads(fits.read_text("utf-8"))["joint"] if fits.exists() else [],
            alignments=read_alignment_file(alignment) if alignment.exists() else [],
        )

    def incomplete(self) -> list[Key]:
        """Return the curves without three seeds at each of five budgets, or without a baseline of each seed."""
        expected = [
            Key(task, mixture, size, metric)
            for metric in METRICS
            for task in TASKS
            for mixture in mixtures_of(task)
            for size in (SIZES if task == "en-fr" and mixture in (BOTH[task], OTHER[task]) else (MAIN_SIZE,))
        ]
        return [key for key in expected if not self._is_complete(key)]

    def _is_complete(self, key: Key) -> bool:
        curve = self.curves.get(key)
        seeds = set(self.baselines(key.task, key.finetune_tokens, key.metric))
        if curve is None or curve.seeds is None or len(seeds) != 3:
            return False
        places = {(int(seed), size) for seed, size in zip(curve.seeds, curve.pretrain_tokens, strict=True)}
        return places == {(seed, size) for seed in seeds for size in set(curve.pretrain_tokens)} and len(places) == 15

    @cached_property
    def forecasts(self) -> dict[Key, laws.Forecast]:
        return dict(zip(self.curves, laws.forecast(list(self.curves.values())), strict=True))

    def forecast(self, task: str, mixture: str, metric: str = "bleu", size: int = MAIN_SIZE) -> laws.Forecast:
        return self.forecasts[Key(task, mixture, size, metric)]

    def alarm(self, task: str, mixture: str) -> float:
        """Probability that cross-entropy improves while BLEU falls, or rises and falls, as fit-scaling reports it."""
        return laws.alarm(self.forecast(task, mixture), self.forecast(task, mixture, "cross_entropy")).probability

    def at_largest(self, task: str, mixture: str, metric: str) -> float:
        """Return the mean of the seeds at the largest D_p, D_f 100k."""
        curve = self.curves[Key(task, mixture, MAIN_SIZE, metric)]
        return float(np.mean(curve.values[curve.pretrain_tokens == curve.pretrain_tokens.max()]))

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
        gains = {
            seed: value - without[int(seed)] for seed, value in zip(curve.seeds[last], curve.values[last], strict=True)
        }
        return np.array([gains[seed] for seed in sorted(gains)]) * (-1 if curve.about.lower_is_better else 1)

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


def mixtures_of(task: str) -> tuple[str, ...]:
    """Return what the task was pretrained on: both its languages, the target, the source, neither."""
    return BOTH[task], TARGET[task], SOURCE, OTHER[task]


def short(mixture: str) -> str:
    """``en + fr`` for ``en:0.5,fr:0.5``."""
    return " + ".join(Mixture.parse(mixture).languages)
