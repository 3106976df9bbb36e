"""What a reading of logs may and must say, judged from their text alone: shares no code with the reader.

``faults`` holds every number of a record against the line that the record names as its origin, and every whole line
against what was read or listed. It looks for keys and the tokens beside them, nothing more; where a line could be
understood in two ways, both are accepted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from fairseq_scaling.logs import LogProblem, Problem, Reading, RunRecord

LN2 = math.log(2)
_TOKEN = r'"?([^\s,"}\]|)]+)'
_OBJECT = re.compile(r"\{[^{}]*\}")
_BROKE_IN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:,\d+)? \| |\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\]")
_WORDS = re.compile(r"nan|inf|FloatingPointError", re.IGNORECASE)
_CONFIG = re.compile(
    r"(?:\| |INFO:[\w.]+:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| INFO \| [\w.]+ \| "
    r"|\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\]\[[\w.]+\]\[INFO\] - )?(?:\{'_name'|Namespace\()"
)
# a record in JSON that was begun and not ended
_CUT = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| INFO \| valid \| \{"epoch": \d+, "valid_loss": [^{}\r]*')
_GENERATE = re.compile(r"Generate (\S+) with beam=\d+: (.*)")
_SENTENCE = re.compile(r"([HD])-(\d+)\t[^\t]*\t(.*)")
# a line of these may be taken for a generation's own, so its number is not looked for
_TRANSLATION = re.compile(r"[A-Z]-\d*\t|[STHDPAIE]-")
_KEYS = {
    "pretrain_tokens": ("pretrain_tokens",),
    "finetune_tokens": ("finetune_tokens",),
    "seed": ("seed",),
    "parameters": ("parameters", "model params"),
}
# problems that tell of the rest of a file, and of everything that one start of a program printed
_WHOLE_FILE = (
    LogProblem.MORE,
    LogProblem.DAMAGED_ARCHIVE,
    LogProblem.UNREADABLE,
    LogProblem.LONG_LINE,
    LogProblem.NO_FAIRSEQ_LINE,
    LogProblem.BAD_SCORE_FILE,
    LogProblem.BAD_ALIGNMENT_FILE,
)
# why the records of a start are of more than one run
_MIXED = [kind for kind in LogProblem if kind.headline == LogProblem.UPDATES_GO_BACK.headline]
_WHOLE_START = (*_MIXED, LogProblem.EMPTY_START, LogProblem.NO_SCORE_PRINTED)


class Loss(NamedTuple):
    """A loss of a line: subset, the tokens beside ``num_updates``, and (token, whether in nats) of each value."""

    subset: str
    updates: tuple[str, ...]
    values: tuple[tuple[str, bool], ...]
    run_id: str = ""


# what a line says


@lru_cache(maxsize=100_000)
def losses(line: str) -> tuple[Loss, ...]:
    """Return every validation loss that the line can be understood to hold."""
    found: list[Loss] = []
    for match in _OBJECT.finditer(line) if "loss" in line or "cross_entropy" in line else ():
        found += _of_object(match[0])
    pieces = line.split("valid on '")[1:]
    for piece in pieces:
        subset, quote, rest = piece.partition("' subset | ")
        if quote:
            rest = _BROKE_IN.split(rest)[0]
            found.append(Loss(subset, tuple(_beside(rest, "num_updates")), _values(rest, "")))
    return tuple(loss for loss in found if loss.values)


def _of_object(text: str) -> Iterator[Loss]:
    if '"subset"' in text:
        values = tuple((token, True) for token in _beside(text, '"cross_entropy"'))
        run_id = "".join(_beside(text, '"run_id"')[:1])
        for subset in re.findall(r'"subset": "([^"]*)"', text):
            yield Loss(subset, tuple(_beside(text, '"updates"')), values, run_id)
    # fairseq-validate prints no updates
    named = re.findall(r'"([^"]+)_num_updates"', text) or re.findall(r'"([^"]+)_loss"', text)
    for subset in dict.fromkeys(named):
        if re.search(r"^train$|(?:^|_)(?:nll|best)$", subset):
            continue
        updates = tuple(_beside(text, f'"{subset}_num_updates"'))
        yield Loss(subset, updates, _values(text, f'"{subset}_'))


def _values(text: str, before: str) -> tuple[tuple[str, bool], ...]:
    """Return the tokens that are the cross-entropy: this plug-in's own column, else nll_loss, else loss."""
    if before and f"{before}target_tokens" in text:
        exact = [token for token in _beside(text, f'{before}cross_entropy"') if not math.isnan(_number(token))]
        if exact:
            return tuple((token, True) for token in exact)
    end = '"' if before else ""
    for key in ("nll_loss", "loss"):
        tokens = _beside(text, f"{before}{key}{end}") if before else re.findall(rf"(?<![a-z_.]){key} ([^\s|]+)", text)
        tokens += re.findall(rf"valid_{key} ([^\s|]+)", text)
        if tokens:
            return tuple((token, False) for token in tokens)
    return ()


def _beside(text: str, key: str) -> list[str]:
    """Return the tokens that follow the key, with ``=``, ``:``, quotes or blanks between."""
    return re.findall(re.escape(key) + r"[\"']?[=:]?\s*" + _TOKEN, text)


def _integers(tokens: list[str] | tuple[str, ...]) -> set[int]:
    return {int(token) for token in tokens if re.fullmatch(r"[+-]?\d{1,30}", token)}


def _number(token: str) -> float:
    try:
        return float(token)
    except ValueError:
        return math.nan


def _is(value: float, token: str, nats: bool) -> bool:
    """Return whether the value is what the token says, and no other."""
    said = _number(token)
    if not math.isfinite(value) or not math.isfinite(said):
        spelled = token.lower().strip("+-") in ("nan", "inf", "infinity")
        return spelled and not math.isfinite(value) and math.isnan(value) == math.isnan(said)
    return math.isclose(value, said if nats else said * LN2, rel_tol=1e-12, abs_tol=1e-300)


def _rounding(token: str, nats: bool, exact: bool) -> float:
    """Return half a unit of the last digit that fairseq can have printed: three decimals and six digits at most."""
    value = abs(_number(token))
    if exact or not math.isfinite(value):
        return 0.0
    six = 0.5 * 10.0 ** (math.floor(math.log10(value)) - 5) if value else 0.0
    if nats:
        return six
    decimals = len(token.partition(".")[2])
    return max(six, 0.5 * 10.0**-decimals if decimals > 3 else 0.0005) * LN2 if "e" not in token.lower() else 0.0


# nothing invented


class Judge:
    """Holds one reading against the texts of its files.

    Args:
        reading: what the reader made of the files.
        texts: the name of each file, as the reading uses it -> its text.
        whole: whole lines as programs write them; where one stands in a text, it counts or is listed.
    """

    def __init__(self, reading: Reading, texts: Mapping[str, str], whole: set[str]) -> None:
        self.reading = reading
        self.lines = {name: text.split("\n") for name, text in texts.items()}
        self.texts = texts
        self.whole = whole

    def faults(self) -> list[str]:
        """Return what is wrong with the reading, nothing if all is well."""
        found = []
        for run in self.reading.runs:
            found += [f"run {run.run_id}: {fault}" for fault in self._invented(run)]
        return found + list(self._omitted())

    def _invented(self, run: RunRecord) -> Iterator[str]:
        for name, keys in _KEYS.items():
            value = getattr(run, name)
            if value is not None:
                line = self._origin(run, name)
                tokens = [token for key in keys for token in _beside(line, key)]
                if name == "parameters":
                    tokens += [token.replace(",", "") for token in re.findall(r"params: ([\d,]+) ", line)]
                if value not in _integers(tokens):
                    yield f"{name} {value} does not stand beside its name in {line[:300]!r}"
        if run.updates is not None:
            line = self._origin(run, "updates")
            tokens = [*_beside(line, "num_updates"), *_beside(line, '"updates"'), *re.findall(r"@ (\S+) updates", line)]
            if run.updates not in _integers(tokens):
                yield f"updates {run.updates} do not stand in {line[:300]!r}"
        for name in ("source_lang", "target_lang", "architecture"):
            value = getattr(run, name)
            if value is not None and not _stands(value, self._origin(run, name)):
                yield f"{name} {value!r} does not stand in its line"
        yield from self._invented_mixture(run)
        yield from self._invented_losses(run)
        yield from self._invented_scores(run)
        texts = [self.texts[file] for file in run.extra["files"]]
        if run.finished and not any("done training" in text for text in texts):
            yield "finished, but no file says so"
        if run.diverged and not any(_WORDS.search(text) for text in texts):
            yield "diverged, but no file holds nan or inf"

    def _invented_mixture(self, run: RunRecord) -> Iterator[str]:
        if run.mixture is not None:
            line = self._origin(run, "mixture")
            for language, share in run.mixture.items():
                if not any(_fraction(token) == share for token in _beside(line, json.dumps(language))):
                    yield f"the share {language}:{share} does not stand in its line"
        if run.alignment is not None and "alignment" in run.origin:
            tokens = _beside(self._origin(run, "alignment"), '"alignment"')
            if run.alignment not in [_number(token) for token in tokens]:
                yield f"alignment {run.alignment} does not stand in its line"
        elif run.alignment is not None and (
            run.mixture is None or run.alignment != run.mixture.alignment(run.source_lang or "", run.target_lang or "")
        ):
            yield f"alignment {run.alignment} is not that of the mixture"

    def _invented_losses(self, run: RunRecord) -> Iterator[str]:
        everywhere = [loss for file in run.extra["files"] for line in self.lines[file][:-1] for loss in losses(line)]
        # the last number of a line without an end may lack digits; an object that closes does not
        for last in (self.lines[file][-1] for file in run.extra["files"]):
            ended, sign, rest = last.rpartition("\r")
            everywhere += losses(ended + sign + rest.replace("valid on '", ""))
        for updates, subset, value in run.extra["validations"]:
            if not any(
                loss.subset == subset and _is(value, *said) and (updates is None or updates in _integers(loss.updates))
                for loss in everywhere
                for said in loss.values
            ):
                yield f"no line says that {subset} has {value} nats at update {updates}"
        names = {f"cross_entropies.{subset}": (subset, value) for subset, value in run.cross_entropies.items()}
        for name, (subset, value) in names.items():
            line = self._origin(run, name)
            said = [token for loss in losses(line) if loss.subset == subset for token in loss.values]
            widths = [_rounding(*token, "SCALING_SCORES" in line) for token in said if _is(value, *token)]
            if not widths:
                yield f"{name} {value} does not stand in {line[:300]!r}"
            elif run.resolution.get(name, 0.0) < min(widths) * (1 - 1e-9):
                yield f"{name} {value} is said to be exact to {run.resolution.get(name, 0.0)}, not {min(widths)}"
        if run.cross_entropy is not None and not any(
            value == run.cross_entropy or value != value for _, value in names.values()
        ):
            yield f"cross_entropy {run.cross_entropy} is that of no subset"
        for tokens, subset, value in run.extra.get("upstream_curve", ()):
            printed = any(
                tokens in _integers(_beside(line, "pretrain_tokens"))
                for file in run.extra["files"]
                for line in self.lines[file]
            )
            if not printed or not any(_is(value, *said) for loss in everywhere for said in loss.values):
                yield f"the upstream loss {value} of {subset} at {tokens} tokens stands nowhere"
        if any(not math.isfinite(value) for value in run.cross_entropies.values()) and not run.diverged:
            yield "its last loss is nan or inf, but it is not shown as diverged"

    def _invented_scores(self, run: RunRecord) -> Iterator[str]:
        for metric, score in run.scores.items():
            line = self._origin(run, f"scores.{metric}")
            tokens = re.findall(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?", line)
            numbers = {_number(token.strip(".")): token for token in tokens}
            subset = score.details["subset"]
            details = [score.details.get(name) for name in ("beam", "brevity_penalty", "hypothesis_length")]
            details += score.details.get("precisions") or []
            for value in (score.value, *(each for each in details if each is not None)):
                if value not in numbers:
                    yield f"{metric} of {subset}: {value} does not stand in {line[:300]!r}"
            if not _stands(subset, line) and subset != "test":
                yield f"{metric} is of {subset}, which does not stand in {line[:300]!r}"
            decimals = len(numbers.get(score.value, "").partition(".")[2])
            rounded = "fairseq:" in score.signature and "BLEU(" not in line
            if rounded and score.resolution < 0.5 * 10.0 ** -max(decimals, 2) * (1 - 1e-9):
                yield f"{metric} {score.value} is said to be exact to {score.resolution}"

    def _origin(self, run: RunRecord, name: str) -> str:
        """Return the line that a field names as its origin; of a score file, one object over many lines, all."""
        if name not in run.origin:
            return ""
        file, number = run.origin[name]
        text = self.texts[file]
        if number == 1 and text.lstrip("\ufeff \t\r\n").startswith("{") and '"format"' in text[:4096]:
            return " ".join(text.split())
        return self.lines[file][number - 1] if 0 < number <= len(self.lines[file]) else ""

    # nothing left out

    def _omitted(self) -> Iterator[str]:
        for file, lines in self.lines.items():
            if not self._is_listed_or_read(file) and "\nwritten to " not in self.texts[file]:
                yield f"{file} is neither in a run nor listed"
                continue
            starts = [number for number, line in enumerate(lines, 1) if _CONFIG.match(line)]
            # what has no end is cut
            for number, line in enumerate(lines[:-1], 1):
                line = line.removesuffix("\r")
                if number > 1 and line and line == lines[number - 2].removesuffix("\r"):
                    continue  # a handler that was added twice: the first of the two counts
                # what broke into another line stands there whole
                begins = [match.start() for match in _BROKE_IN.finditer(line)] if line not in self.whole else []
                said = line[begins[-1] :] if begins else line
                start = max((at for at in starts if at <= number), default=0)
                if said in self.whole:
                    accounted = _TRANSLATION.match(said) or self._accounts(file, number, start, said)
                else:
                    accounted = not _CUT.fullmatch(said) or self._lists(file, number, start)
                if not accounted:
                    yield f"{file}:{number} is neither in a run nor listed: {said[:300]!r}"

    def _is_listed_or_read(self, file: str) -> bool:
        if any(file in run.extra["files"] for run in self.reading.runs):
            return True
        # with zero bytes and other signs that no text has it may be a checkpoint, and those are passed over
        head = self.texts[file][:4096]
        if "\0" in head and re.search("[\x01-\x08\x0e-\x1f\x7f]", head):
            return True
        folder, _, name = file.rpartition("/")
        return any(
            problem.file == file
            or (problem.file == folder and re.search(rf"left out: .*\b{re.escape(name)}", str(problem)))
            for problem in self.reading.problems
        )

    def _accounts(self, file: str, number: int, start: int, line: str) -> bool:
        """Return whether what the whole line says is in a run or listed; lines of no known kind say nothing."""
        if self._lists(file, number, start):
            return True
        here = [run for run in self.reading.runs if file in run.extra["files"]]
        said = re.search(r'SCALING_RUN \{.*"run_id": "(\w+)"', line)
        if said and not any(run.run_id == said[1] for run in self.reading.runs):
            return False
        for loss in losses(line):
            runs = [run for run in self.reading.runs if run.run_id == loss.run_id] if loss.run_id else here
            if not any(self._holds(run, loss) for run in runs) and not self._refused(file, loss):
                return False
        generated = _GENERATE.search(line)
        if generated and not self._scored(here, *generated.groups()):
            return False
        return not _CONFIG.match(line) or self._configured(here, line)

    def _lists(self, file: str, number: int, start: int) -> bool:
        return any(_covers(problem, file, number, start) for problem in self.reading.problems)

    def _holds(self, run: RunRecord, loss: Loss) -> bool:
        """Return whether the run has this loss, or a later one of the same update that replaced it."""
        updates = _integers(loss.updates) or {None}
        return any(subset == loss.subset and at in updates for at, subset, _ in run.extra["validations"])

    def _refused(self, file: str, loss: Loss) -> bool:
        """Return whether a problem tells of the subset, or of a later record of this very update."""
        for problem in self.reading.problems:
            refused = problem.kind in (LogProblem.TWO_LOSSES, LogProblem.SMOOTHED)
            if refused and problem.fields["subset"] == loss.subset:
                return True
            if problem.file == file and problem.kind is LogProblem.PERPLEXITY:
                later = losses(self.lines[file][problem.line - 1])
                if any((other.subset, other.updates) == (loss.subset, loss.updates) for other in later):
                    return True
        return False

    def _scored(self, here: list[RunRecord], subset: str, result: str) -> bool:
        numbers = {_number(token) for token in re.findall(r"\d+(?:\.\d+)?", result)}
        by_metric = [
            score
            for run in here
            for score in run.extra["scores_by_subset"].get(subset, {}).values()
            if score.value in numbers or not score.signature.startswith("fairseq:")
        ]
        return bool(by_metric) or any(
            problem.kind is LogProblem.TWO_SCORES and problem.fields["subset"] == subset
            for problem in self.reading.problems
        )

    def _configured(self, here: list[RunRecord], line: str) -> bool:
        """Return whether a run has this configuration's folder of checkpoints, or its tool trains nothing."""
        folders = re.findall(r"save_dir(?:'?: |=)'([^']*)'", line)
        known = [run.extra.get("config", {}) for run in here]
        return any(config.get("checkpoint.save_dir", config.get("save_dir")) in folders for config in known) or any(
            "SCALING_RUN" in text for text in (self.texts[file] for run in here for file in run.extra["files"])
        )


def _covers(problem: Problem, file: str, number: int, start: int) -> bool:
    """Return whether the problem tells of this line: alone, or with its segment or with the rest of its file."""
    if problem.file != file:
        return False
    if problem.line == number:
        return True
    if problem.line == 0:
        return problem.kind in _WHOLE_FILE
    return start <= problem.line <= number and problem.kind in _WHOLE_START


def _stands(text: str, line: str) -> bool:
    return any(form in line for form in (text, json.dumps(text)[1:-1], repr(text)[1:-1]))


def _fraction(token: str) -> Fraction | None:
    try:
        return Fraction(token)
    except (ValueError, ZeroDivisionError):
        return None


def sentences(text: str) -> dict[str, dict[int, set[str]]]:
    """Return kind (H or D) -> number -> the texts that lines give of a sentence of fairseq-generate's output."""
    found: dict[str, dict[int, set[str]]] = {"H": {}, "D": {}}
    for line in text.split("\n"):
        match = _SENTENCE.match(line.removesuffix("\r"))
        if match:
            found[match[1]].setdefault(int(match[2]), set()).add(match[3])
    return found


def validations(text: str) -> set[tuple[int | None, str, float]]:
    """Return (updates, subset, nats) of every whole line, in every way that it can be understood."""
    found: set[tuple[int | None, str, float]] = set()
    for line in text.split("\n"):
        for loss in losses(line.removesuffix("\r")):
            for token, nats in loss.values:
                value = _number(token) * (1 if nats else LN2)
                found |= {(updates, loss.subset, value) for updates in (*_integers(loss.updates), None)}
    return found


def same(one: Any, two: Any) -> bool:
    """Return whether two readings say the same, where nan is nan."""
    return repr(one) == repr(two)
