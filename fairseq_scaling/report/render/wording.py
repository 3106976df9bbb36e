"""All words of the report: numbers, names, and the sentences of verdicts, advice and comparisons.

Terminal, page and figures take their words from here, so that a thing is said in one way everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...laws import Action, Advice, Estimate, Question, VerdictKind
from ...metrics import Metric
from ...quantities import PRETRAIN_TOKENS, Quantity, format_tokens
from ..curve_result import CurveResult, Setting
from ..joint import JointResult
from ..points import mixture_label
from ..results import Entry, MetricFinding, MixtureComparison, Report, Task
from .numbers import NONE, amount, interval, is_number, number, predicted, probability, probably, score, size

_FEW, _MOST_SIZES = 3, 6
"""The page's heading names so many curves, and a list of sizes so many of them; more are counted."""
CONTINUED, AGAIN = Question.RUN.value, Question.MIXTURE.value

KINDS = {
    VerdictKind.FOLLOWS: "{metric} improves: {span}",
    VerdictKind.SATURATED: "{metric} has stopped improving: {span}",
    VerdictKind.NON_MONOTONIC: "{metric} improves at first and then gets worse: {span}",
    VerdictKind.INVERSE: "{metric} gets worse with more {x}: {span}",
    VerdictKind.NOISY: "{metric} has improved, but the scatter hides how it goes on: {span}",
    VerdictKind.TRENDLESS: "No trend of {metric} stands out of the noise: {span}",
    VerdictKind.BREAKTHROUGH: "{metric} leaps: most of what was gained came at once: {span}",
    VerdictKind.TOO_FEW: "Too few sizes to say what kind of curve {metric} is: {span}",
}
"""What a curve does, in words for someone who has never fitted a law."""

ACTIONS = {
    Action.ADD_DATA: "Continue pretraining: {twice} {gains} with probability {p}",
    Action.STOP: "Stop pretraining: with probability {p}, {twice} {gain_less}",
    Action.FINETUNING_SUFFICES: "The finetuning data suffices: pretraining has brought next to nothing, and with "
    "probability {p} {twice} {gain_less}",
    Action.CHANGE_DATA: "Change the pretraining data: more of this mixture makes {metric} worse (probability {p})",
    Action.RUN_MORE: "Not decided yet: {twice} {gains} with probability {p}. Run more points",
}
OTHER_ACTIONS = {
    Action.ADD_DATA: "More {x} help: {twice} {gains} with probability {p}",
    Action.STOP: "More {x} are not worth their cost: with probability {p}, {twice} {gain_less}",
    Action.FINETUNING_SUFFICES: "More {x} bring next to nothing: with probability {p}, {twice} {gain_less}",
    Action.CHANGE_DATA: "More {x} make {metric} worse (probability {p})",
    Action.RUN_MORE: ACTIONS[Action.RUN_MORE],
}
"""The same where the sizes of the curve are not pretraining tokens."""

HOPELESS = "Change the pretraining data: even ten times as much of this mixture stays below {none}"
ALIGNED_BUT_WORSE = (
    "Not decided yet: {metric} gets worse (probability {p}) although the mixture is aligned with the task. Look at the "
    "learning rates, the length of the outputs and further seeds first"
)
SENTENCES = "the spread from the choice of test sentences, not between two runs"
"""What the bootstrap interval of a score is."""


def capital(text: str) -> str:
    """Return the text with a capital first letter, unless it begins with a name such as ``chrF``."""
    return text[:1].upper() + text[1:] if text[:2].islower() else text


def enumerate_all(items: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""


def condition(setting: Setting, with_size: bool = True) -> str:
    """Return what a curve shares with its rivals: ``en-fr, finetuned on 200k tokens, t5_tiny``; empty if unknown."""
    parts = [setting.task]
    if with_size and setting.finetune_tokens is not None:
        parts.append(f"finetuned on {format_tokens(setting.finetune_tokens)} tokens")
    start = f"continued from {setting.start}" if setting.start else ""
    return ", ".join(filter(None, [*parts, setting.architecture, start, setting.apart]))


def short_name(curve: CurveResult | Entry) -> str:
    """Return the mixture where it is known, else the curve's name."""
    return curve.setting.mixture_label if curve.setting.mixture else curve.name


def labels(report: Report) -> dict[str, str]:
    """Return curve name -> the shortest label that tells the report's curves apart.

    A table's names stay; of a run's curve the mixture is shown, and task, D_f, architecture and what else tells it
    apart only where they differ.
    """
    parts = {curve.name: _parts(curve.setting) for curve in report.curves}
    varies = [len(set(column)) > 1 for column in zip(*parts.values(), strict=True)]
    found = {}
    for curve in report.curves:
        shown = [part for i, part in enumerate(parts[curve.name]) if part and (i == 0 or varies[i])]
        found[curve.name] = ", ".join(shown) if curve.setting.mixture else curve.name
    return found if len(set(found.values())) == len(found) else {name: name for name in found}


def _parts(setting: Setting) -> tuple[str, ...]:
    finetune = "" if setting.finetune_tokens is None else f"D_f {format_tokens(setting.finetune_tokens)}"
    return setting.mixture_label, setting.task, finetune, setting.architecture, setting.apart


def note(report: Report) -> str:
    """Return how the columns of the table of outcomes are read."""
    text = (
        f"Now: the forecast at the largest size. Gain: its change at 2, 4 or 10 times that size ({CONTINUED}), in "
        f"points of the metric. In brackets: the {report.settings.level:.0%} interval."
    )
    if any(curve.metric.lower_is_better for curve in report.curves):
        text += " A gain above zero is better, also where lower values are better."
    return text


def headline(report: Report) -> str:
    """Return the finding that a reader must not miss, as the page's heading."""
    decided = [curve for entry in report.entries if (curve := entry.lead).advice]
    if not decided:
        if report.unplaced and not report.curves:
            return "No forecast: how much text the models were pretrained on is unknown"
        return "Nothing could be fitted yet"
    if len(decided) == 1:
        return answer(decided[0]).removesuffix(".")
    names = labels(report)
    of: dict[Action, list[str]] = {}
    for curve in decided:
        if curve.advice:
            of.setdefault(curve.advice.action, []).append(names[curve.name])
    # Of several mixtures that deserve more data, one may deserve it first.
    best = [names[name] for task in report.tasks if (name := ahead_of_all(task, report.settings.likely))]
    actions = [action for action in Action if action in of]
    parts = []
    if len(decided) <= _FEW:
        for action in actions:
            named = [f"{name} (ahead)" if name in best and len(of[action]) > 1 else name for name in of[action]]
            parts.append(f"{capital(action_title(action, report.x))}: {enumerate_all(named)}")
    else:
        first, *others = [f"{action_title(action, report.x)} for {len(of[action])}" for action in actions]
        parts = [", ".join([f"{capital(first)} of {len(decided)} curves", *others])]
        parts += [f"{best[0]} is ahead"] if best and len(report.tasks) == 1 else []
    misled = sum(finding.misleads for finding in report.metric_findings)
    return "; ".join([*parts, f"on {misled}, cross-entropy misleads"] if misled else parts)


def subtitle(report: Report) -> str:
    """Return what was measured, in one sentence."""
    curves = [curve for curve in report.curves if curve.points]
    if not curves and report.unplaced:
        return "Below are the scores of the models whose D_p is unknown, and of those without pretraining."
    if not curves:
        return "No curve has points that can be used. Below is what was read, and why it was not used."
    tasks = sorted({curve.setting.task for curve in curves} - {""})
    low, high = min(curve.smallest for curve in curves), max(curve.largest for curve in curves)
    metrics = enumerate_all(list(dict.fromkeys(curve.metric.title for curve in curves)))
    named = (
        f"Translation {', '.join(tasks)}" if tasks else f"{len(report.entries)} curve{'s' * (len(report.entries) > 1)}"
    )
    x = report.x
    runs = f". {report.read.finetuning_runs} finetuning runs" if report.read.finetuning_runs else ""
    points = sum(len(curve.points) for curve in curves)
    symbol = "" if x.symbol == x.title else f" ({x.symbol})"
    return f"{named}, {size(low, x)} to {size(high, x)} {x.title}{symbol}, judged by {metrics}{runs}, {points} points."


def kind_sentence(curve: CurveResult) -> str:
    """Return what kind of curve it is, from where to where it goes, and how probable that is."""
    if curve.verdict is None or not curve.means:
        return problem(curve)
    (low, first, _), (high, last, _) = curve.means[0], curve.means[-1]
    span = (
        f"measured {score(first, curve.metric)} at {size(low, curve.x)}, "
        f"{score(last, curve.metric)} at {size(high, curve.x)}"
    )
    text = KINDS[curve.verdict.kind].format(metric=capital(curve.metric.title), span=span, x=curve.x.title)
    return text + ("" if curve.verdict.kind is VerdictKind.TOO_FEW else probably(curve.verdict.probability)) + "."


def problem(curve: CurveResult) -> str:
    """Return why there is no forecast."""
    return "" if curve.problem is None else f"Not fitted: {curve.problem.headline}."


def answer(curve: CurveResult) -> str:
    """Return the advice in one sentence, with the probability that it rests on."""
    if curve.advice is None or curve.forecast is None:
        return problem(curve)
    least = score(curve.forecast.worthwhile, curve.metric)
    words = {
        "metric": curve.metric.title,
        "p": probability(curve.advice.probability),
        "x": curve.x.title,
        "none": curve.x.none,
        "twice": f"twice as many {curve.x.title} ({size(2 * curve.largest, curve.x)})",
        "gains": f"improve {curve.metric.title} by at least {least}",
        "gain_less": f"improve {curve.metric.title} by less than {least}",
    }
    return capital(_action(curve, curve.advice).format(**words)) + "."


def action_title(action: Action, x: Quantity) -> str:
    """Return the advice in two or three words; of sizes other than pretraining tokens it does not speak of data."""
    others = {Action.ADD_DATA: f"more {x.title}", Action.CHANGE_DATA: f"no more {x.title}"}
    others[Action.FINETUNING_SUFFICES] = Action.STOP.value
    return action.value if x.name == PRETRAIN_TOKENS.name else others.get(action, action.value)


def _action(curve: CurveResult, advice: Advice) -> str:
    worse = curve.kind in (VerdictKind.INVERSE, VerdictKind.NON_MONOTONIC)
    if advice.action is Action.CHANGE_DATA and not worse:
        return HOPELESS
    if advice.action is Action.RUN_MORE and worse:
        return ALIGNED_BUT_WORSE
    return (ACTIONS if curve.x.name == PRETRAIN_TOKENS.name else OTHER_ACTIONS)[advice.action]


def reasons(report: Report, curve: CurveResult) -> list[str]:
    """Return what the advice rests on: the curve, what pretraining brought, what counts, and what more would bring."""
    if curve.advice is None:
        return []
    found = (kind_sentence(curve), brought(curve), worthwhile_sentence(report, curve), gain_sentence(curve))
    return [*filter(None, found)]


def brought(curve: CurveResult) -> str:
    """Return by how much the score at the largest size is better than without pretraining; empty where not known."""
    if curve.forecast is None or curve.forecast.above_baseline is None:
        return ""
    above = change(curve.forecast.above_baseline, curve.metric)
    return f"Against {curve.x.none}, {curve.metric.title} at {size(curve.largest, curve.x)} is {above} ({AGAIN})."


def worthwhile_sentence(report: Report, curve: CurveResult) -> str:
    """Return where the gain comes from that the advice compares with; empty where it speaks of none."""
    if curve.advice is None or curve.forecast is None or "{gain" not in _action(curve, curve.advice):
        return ""
    least = f"{score(curve.forecast.worthwhile, curve.metric)} {curve.metric.title}"
    if report.settings.worthwhile is None:
        return (
            f"{least} is taken as the smallest gain worth the cost: 1 % of the score, or a fifth of a run's usual "
            "noise if that is more; --worthwhile sets another."
        )
    return f"{least} is the smallest gain worth the cost, as --worthwhile says."


def gain_sentence(curve: CurveResult) -> str:
    """Return what twice and ten times the size would change."""
    if curve.forecast is None:
        return ""
    twice, tenfold = (curve.forecast.gains[factor] for factor in (2.0, 10.0))
    return (
        f"With twice as many {curve.x.title} {curve.metric.title} is forecast to be "
        f"{change(twice, curve.metric, f'{curve.forecast.level:.0%} interval: ')}, "
        f"with ten times as many {change(tenfold, curve.metric)} ({CONTINUED})."
    )


def change(gain: Estimate, metric: Metric, head: str = "") -> str:
    """Return ``1.05 better (0.40 worse to 5.09 better)``: in words a gain has no sign that could be misread."""
    if not is_number(gain.value):
        return NONE
    if not (is_number(gain.lower) and is_number(gain.upper)):
        return _judged(gain.value, metric)
    ends = sorted((gain.lower, gain.upper), key=abs if gain.upper < 0 else None)
    low, high = (_judged(end, metric) for end in ends)
    if low.split()[1:] == high.split()[1:]:
        low = low.split()[0]
    return f"{_judged(gain.value, metric)} ({head}{low} to {high})"


def _judged(gain: float, metric: Metric) -> str:
    """Return a gain as ``0.40 better`` or ``0.40 worse``."""
    size = score(abs(gain), metric)
    return "unchanged" if float(size) == 0 else f"{size} {'better' if gain > 0 else 'worse'}"


def next_sentence(curve: CurveResult) -> str:
    """Return which run would tell most, where more runs are advised."""
    if curve.advice is None or not is_number(curve.advice.next_budget):
        return ""
    if curve.advice.action not in (Action.ADD_DATA, Action.RUN_MORE):
        return ""
    there = amount(curve.advice.next_budget, curve.x)
    return f"Measure at {there}: that size would tell most about the gain at four times the data."


def mixture_sentence(task: Task, likely: float) -> str:
    """Return which mixture of a task is ahead of the others, and how sure that is; none where none is likely."""
    names = {entry.name: short_name(entry) for entry in task.entries}
    if len(set(names.values())) < len(names):
        names = {name: name for name in names}
    if not task.comparisons:
        return ""
    best = ahead_of_all(task, likely)
    if best is None:
        top = max(task.comparisons, key=lambda pair: pair.certainty)
        head = "No mixture is clearly ahead" + (" of all others. The clearest" if len(task.comparisons) > 1 else "")
        return f"{head}: {comparison_sentence(top, names)}"
    rivals = [pair for pair in task.comparisons if best in pair.names]
    closest = comparison_sentence(min(rivals, key=lambda pair: pair.certainty), names)
    return capital(closest) if len(rivals) == 1 else f"{names[best]} is ahead of all others. The closest: {closest}"


def ahead_of_all(task: Task, least: float) -> str | None:
    """Return the name of the curve that is ahead in every comparison, each time at least so probably, or None."""
    lost = {name for pair in task.comparisons for name in (pair.names if pair.certainty < least else [pair.worse])}
    unbeaten = [entry.name for entry in task.entries if entry.name not in lost]
    return unbeaten[0] if len(unbeaten) == 1 and task.comparisons else None


def comparison_sentence(pair: MixtureComparison, names: dict[str, str]) -> str:
    """Return ``at 4M tokens A is ahead of B (probability 93 %): its BLEU is 1.80 better (0.40 to 3.10 better)``."""
    text = (
        f"at {amount(pair.pretrain_tokens, pair.x)} {names[pair.better]} is ahead of {names[pair.worse]}"
        f"{probably(pair.certainty)}: its {pair.metric.title} is {_lead(pair, pair.difference)} ({AGAIN})."
    )
    if pair.worth is not None and is_number(pair.worth.upper):
        first, second = (names[name] for name in pair.names)
        text += f" To reach what {first} reaches there takes {interval(pair.worth)} times as much data of {second}."
    if (tested := pair.sentences) is not None:
        text += (
            f" Between the runs at hand at {amount(tested.pretrain_tokens, pair.x)} it is "
            f"{_lead(pair, tested.difference)}, p = {number(tested.p_value, 2)} (paired bootstrap over "
            f"{tested.sentences:,} test sentences; says nothing of another run)."
        )
    return text


def _lead(pair: MixtureComparison, difference: Estimate) -> str:
    """Return by how much the better one is ahead, where ``difference`` is of the first less the second."""
    if pair.better == pair.names[1]:
        difference = Estimate(-difference.value, -difference.upper, -difference.lower)
    return change(difference, pair.metric)


def worth_sentences(task: Task) -> list[str]:
    """Return what a token of each language is worth, and what mixtures that nobody has trained would score."""
    worth, sentences = task.worth, []
    if worth is None:
        return []
    others = [
        f"one token of {name} helps as much as {interval(one, lambda v: number(v, 2))} of {worth.best}"
        for name, one in worth.worth.items()
        if name != worth.best
    ]
    if others:
        sentences.append(f"For {worth.metric.title} {enumerate_all(others)}.")
    for one in worth.untried:
        label = mixture_label(one.mixture)
        if one.ahead is None or one.chance is None:
            why = "; ".join(line.strip() for line in (one.problem or worth.problem).splitlines())
            sentences.append(f"Untried mixture {label}: no forecast. {capital(why)}.")
            continue
        rival = next(short_name(entry) for entry in task.entries if entry.name == one.rival)
        ahead = [
            f"{predicted(one.ahead, i, worth.metric)} at {amount(float(at), worth.x)}"
            for i, at in enumerate(one.ahead.pretrain_tokens)
        ]
        sentences.append(
            f"Untried mixture {label}: {worth.metric.title} {enumerate_all(ahead)} ({AGAIN}); ahead of {rival} "
            f"with probability {probability(one.chance)}, at {amount(float(one.ahead.pretrain_tokens[0]), worth.x)}."
        )
    return sentences


def sizes(joint: JointResult) -> str:
    """Return the sizes that the curves of a law of two inputs differ in."""
    if len(joint.sizes) <= _MOST_SIZES:
        return ", ".join(size(one, joint.second) for one in joint.sizes)
    return f"{len(joint.sizes)}, {size(joint.sizes[0], joint.second)} to {size(joint.sizes[-1], joint.second)}"


def joint_sentence(joint: JointResult) -> str:
    """Return what twice the pretraining data, and twice the second input, would gain."""
    name = capital(joint.metric.title)
    first, second, _ = (change(one, joint.metric) for one in joint.doubled.values())
    text = (
        f"{name} over {PRETRAIN_TOKENS.title} and {joint.second.title} ({sizes(joint)}) together: "
        f"{first} with twice the {PRETRAIN_TOKENS.title}, {second} with twice the {joint.second.title}."
    )
    if joint.size_exponent is not None:
        text += f" With C of compute the best size grows as C^{interval(joint.size_exponent)}."
    return text


def finding_sentence(finding: MetricFinding) -> str:
    """Return what a reader must know of the metrics together, or nothing."""
    lead = finding.metric.title
    if finding.misleads:
        return (
            f"Cross-entropy improves while {lead} gets worse{probably(finding.alarm.probability)}: do not decide by "
            "cross-entropy alone."
        )
    if finding.score_only:
        return f"{capital(lead)} improves although cross-entropy does not: the score decides."
    return ""
