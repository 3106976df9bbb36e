"""Numbers as a reader sees them, and tables of them: one form for the terminal and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...laws import Estimate, Prediction, ShapeProbabilities
from ...metrics import CROSS_ENTROPY, Metric
from ...quantities import Quantity

NONE = "\u2013"
MINUS = "\u2212"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits; a dash where there is none."""
    if value is None or not is_number(value):
        return NONE
    return f"{value:.{digits}g}".replace("-", MINUS)


def score(value: float | None, metric: Metric) -> str:
    """Return a value of a metric with the decimals worth printing."""
    return NONE if value is None else decimal(value, metric.decimals)


def signed(value: float | None, metric: Metric) -> str:
    """Return a change of a metric with its sign; none where it rounds to zero."""
    return NONE if value is None else decimal(value, metric.decimals, "+")


def decimal(value: float, digits: int, sign: str = "") -> str:
    # Adding zero turns the minus zero that rounding may leave into zero.
    rounded = round(value, digits) + 0.0
    return f"{rounded:{sign if rounded else ''}.{digits}f}".replace("-", MINUS)


def interval(estimate: Estimate | None, write: Callable[[float | None], str] = number) -> str:
    """Return ``value [lower, upper]``, the value alone where the interval is unknown; ``write`` makes text."""
    if estimate is None or not is_number(estimate.value):
        return NONE
    if not (is_number(estimate.lower) or is_number(estimate.upper)):
        return write(estimate.value)
    lower = write(estimate.lower).removeprefix("+") if is_number(estimate.lower) else f"{MINUS}\u221e"
    upper = write(estimate.upper).removeprefix("+") if is_number(estimate.upper) else "\u221e"
    return f"{write(estimate.value)} [{lower}, {upper}]"


def gain(estimate: Estimate | None, metric: Metric) -> str:
    """Return a gain with its interval: ``+1.05 [-0.40, 5.09]``."""
    return interval(estimate, lambda value: signed(value, metric))


def predicted(prediction: Prediction, i: int, metric: Metric) -> str:
    """Return the i-th predicted value with its interval."""
    at = Estimate(float(prediction.value[i]), float(prediction.lower[i]), float(prediction.upper[i]))
    return interval(at, lambda value: score(value, metric))


def size(value: float | None, x: Quantity) -> str:
    """Return a size without its unit, with three digits: runs consume a little less than their budget."""
    return NONE if value is None else x.none if value == 0 else x.format(value, 3)


def amount(value: float, x: Quantity) -> str:
    """Return a size with its unit: ``4M tokens``."""
    return x.amount(value, 3)


def percent(value: float | None) -> str:
    """Return a share such as a relative error in per cent."""
    if value is None or not is_number(value):
        return NONE
    return f"{100 * value:.0f} %" if value >= 0.0995 else f"{100 * value:.2g} %"


def probability(value: float | None) -> str:
    """Return a probability in per cent, never as certain: ``97 %``, ``>99 %``."""
    if value is None:
        return NONE
    return ">99 %" if value > 0.995 else "<1 %" if value < 0.005 else f"{100 * value:.0f} %"


def shape(probabilities: ShapeProbabilities) -> str:
    """Return the likelier shapes: ``rises 91 %, flat 8 %``."""
    parts = sorted(vars(probabilities).items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {probability(value)}" for name, value in parts if value >= 0.05)


def probably(value: float | None) -> str:
    """Return `` (probability 97 %)``, or nothing where no probability is known."""
    return "" if value is None else f" (probability {probability(value)})"


def is_number(value: float) -> bool:
    return value - value == 0


def unit(text: str, metric: Metric) -> str:
    """Return the unit of a coefficient, in which points of the metric bear its name."""
    return text.replace("points of the metric", "nats" if metric.name == CROSS_ENTROPY else metric.title)


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers are aligned to the right."""

    title: str
    numeric: bool = False


@dataclass
class Table:
    """A titled table; ``note`` explains it, ``rows`` hold one text per column."""

    title: str
    columns: Sequence[Column]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""
    _lead: Sequence[str] = field(default=(), init=False, repr=False)

    def add(self, lead: Sequence[str], *cells: str) -> None:
        """Add a row. A ``lead`` equal to that of the row above, such as the curve's name, is not repeated."""
        self.rows.append([*([""] * len(lead) if lead == self._lead else lead), *cells])
        self._lead = lead

    def without_empty_columns(self) -> Table:
        """Return the table without the columns in which nothing is written."""
        kept = [i for i in range(len(self.columns)) if any(row[i] not in ("", NONE) for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table(self.title, [self.columns[i] for i in kept], rows, self.note)


def columns(*titles: str) -> tuple[Column, ...]:
    """Return columns; a title that ends in ``#`` is the head of a column of numbers."""
    return tuple(Column(title.rstrip("#"), title.endswith("#")) for title in titles)


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return sum(values) / len(values) if values else None
