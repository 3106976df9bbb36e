"""The plan of a pretraining run: which block of which language is read at which position, and where the budgets lie.

The plan is computed, not stored: any position costs the same, however large the corpus.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SettingError
from ..mixture import Mixture
from ..quantities import format_tokens
from . import hashing
from .permutation import Permutation

_LONGEST_PERIOD = 100_000
_MOST_PASSES = 1000


class Interleaving:
    """The order in which languages take turns, one block each, so that every prefix holds the mixture's shares.

    After any number n of blocks a language of share p has had p * n blocks, to less than one. The order is Tijdeman's
    solution of the chairman assignment problem ("The chairman assignment problem", Discrete Mathematics 32, 1980):
    among the languages that may take a turn without running ahead, the one whose turn is due first. It repeats with the
    common denominator of the shares, and only that period is stored.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.languages = mixture.languages
        shares = [mixture[language] for language in self.languages]
        period = lcm(*(share.denominator for share in shares))
        if period > _LONGEST_PERIOD:
            raise SettingError(
                "mixture", mixture, f"the shares have the common denominator {period}, above {_LONGEST_PERIOD}",
                "round the shares, for example to three decimals",
            )  # fmt: skip
        self._period = period
        self._turns = _chairman_assignment(shares, period)
        self._positions = [np.flatnonzero(self._turns == index) for index in range(len(shares))]
        self._ranks = np.empty(period, dtype=np.int64)
        for positions in self._positions:
            self._ranks[positions] = np.arange(len(positions))
        self._per_period = np.array([len(positions) for positions in self._positions], dtype=np.int64)

    def at(self, positions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each position the index of its language, and how many blocks that language had before."""
        cycles, places = np.divmod(np.asarray(positions, dtype=np.int64), self._period)
        languages = self._turns[places]
        return languages, cycles * self._per_period[languages] + self._ranks[places]

    def longest(self, available: Mapping[str, int]) -> tuple[int, str]:
        """Return the longest prefix that ``available`` blocks of each language allow, and the language that ends it."""
        ends = []
        for language, positions in zip(self.languages, self._positions, strict=True):
            cycles, rest = divmod(available[language], len(positions))
            ends.append((cycles * self._period + int(positions[rest]), language))
        return min(ends)


class PretrainingPlan:
    """Which block is read at which position of a run, up to its largest budget.

    A language's blocks are numbered on through its passes: of ``n`` blocks, number ``p * n + b`` is block ``b`` in pass
    ``p`` (from 0). Every pass has a permutation of its own, and no number occurs twice.

    ``budget_blocks`` is the position of each budget, in blocks: the prefix that a checkpoint has seen.
    """

    def __init__(
        self,
        mixture: Mixture,
        stream_tokens: Mapping[str, int],
        block_length: int,
        budgets: Sequence[int],
        seed: int,
        repeat: Mapping[str, int] | None = None,
    ) -> None:
        """Args:
        mixture: language -> share.
        stream_tokens: tokens of each language's training text.
        block_length: tokens of a block.
        budgets: numbers of tokens, rising.
        seed: of the order of the blocks.
        repeat: language -> how often its text may be read; 1 where it says nothing.

        Raises:
            SettingError: budgets out of order, below one block, closer than one block, or beyond the data.
        """
        self.mixture, self.block_length, self.seed = mixture, block_length, seed
        self.repeat = {language: (repeat or {}).get(language, 1) for language in mixture.languages}
        self._interleaving = Interleaving(mixture)
        self._blocks = {language: stream_tokens[language] // block_length for language in mixture.languages}
        self._permutations: dict[tuple[str, int], Permutation] = {}
        self.budget_blocks = self._check(budgets)

    def _check(self, budgets: Sequence[int]) -> tuple[int, ...]:
        written = ",".join(format_tokens(budget) for budget in budgets)
        if not budgets:
            raise SettingError("budgets", "''", "no budget given", "name at least one number of tokens, for example 1M")
        if any(later <= earlier for earlier, later in zip(budgets, budgets[1:], strict=False)):
            raise SettingError("budgets", written, "must rise", "sort them and leave out repetitions")
        blocks = tuple(budget // self.block_length for budget in budgets)
        if blocks[0] < 1:
            raise SettingError("budgets", written, f"the smallest is below one block of {self.block_length} tokens")
        if any(later == earlier for earlier, later in zip(blocks, blocks[1:], strict=False)):
            raise SettingError("budgets", written, f"two lie within one block of {self.block_length} tokens")
        available = {language: count * self.repeat[language] for language, count in self._blocks.items()}
        longest, limiting = self._interleaving.longest(available)
        if blocks[-1] > longest:
            largest, passes = longest * self.block_length, self.repeat[limiting]
            asked = f"{format_tokens(budgets[-1])} tokens of {self.mixture}"
            again = "repeat data" if passes == 1 else f"repeat data more than {passes} times"
            raise SettingError(
                "budgets", written,
                f"{asked} would {again}: language {limiting!r} ends first",
                f"the largest possible budget is {largest} tokens; more text of {limiting!r}, a smaller share of it or "
                f"--repeat {limiting}:{passes + 1} allows more",
            )  # fmt: skip
        return blocks

    @property
    def languages(self) -> tuple[str, ...]:
        return self._interleaving.languages

    def at(self, positions: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, for positions in the run, the index of the language and the number of the block."""
        languages, ranks = self._interleaving.at(positions)
        numbers = np.empty_like(ranks)
        for index in np.unique(languages):  # few of a hundred languages in a batch
            language = self.languages[index]
            chosen = languages == index
            passes, within = np.divmod(ranks[chosen], self._blocks[language])
            found = np.empty_like(within)
            for number in np.unique(passes):
                found[passes == number] = self._order(language, int(number))(within[passes == number])
            numbers[chosen] = passes * self._blocks[language] + found
        return languages, numbers

    def _order(self, language: str, number: int) -> Permutation:
        """Return the order of a language's blocks in a pass."""
        if (language, number) not in self._permutations:
            purpose = ("block order", language, *(("pass", number) if number else ()))
            self._permutations[language, number] = Permutation(self._blocks[language], hashing.key(self.seed, *purpose))
        return self._permutations[language, number]


def parse_repeat(text: str | int, languages: Sequence[str]) -> dict[str, int]:
    """Return language -> passes, of ``4`` (every language) or ``fr:4,de:2`` (the others 1).

    Raises:
        SettingError: it is malformed, or names a language that is not in the mixture, or one twice.
    """
    example = "write a number for every language, for example 4, or fr:4,de:2"
    passes: dict[str, int] = {}
    for entry in str(text).split(","):
        language, colon, number = (part.strip() for part in entry.partition(":"))
        if not colon:
            language, number = "", language
        if not number.isdecimal() or not 0 < int(number) <= _MOST_PASSES:
            problem = f"{number!r} is not a number of passes from 1 to {_MOST_PASSES}"
            raise SettingError("repeat", text, problem, example)
        if language in passes or (passes and not (language and all(passes))):
            raise SettingError("repeat", text, f"cannot read {entry!r}", example)
        if language and language not in languages:
            raise SettingError("repeat", text, f"language {language!r} is not in the mixture", example)
        passes[language] = int(number)
    return {language: passes.get(language, passes.get("", 1)) for language in languages}


def _chairman_assignment(shares: Sequence[Fraction], period: int) -> NDArray[np.int64]:
    """Return the index that takes each of ``period`` turns, in integer arithmetic: ``[period]``.

    With ``n`` shares, and turns counted from 1, a share ``p`` may take its ``k``-th turn once ``p * turn`` has reached
    ``k - 1 + 1 / (2n - 2)``, and is due to have it when it reaches ``k - 1 / (2n - 2)``. Both follow from ``p`` and
    ``k`` alone, so a heap finds who is due first, in time that hardly grows with ``n``.
    """
    number = len(shares)
    if number == 1:
        return np.zeros(period, dtype=np.int64)
    scale = 2 * number - 2
    slots = [(index, k, int(share * period)) for index, share in enumerate(shares) for k in range(int(share * period))]
    # Two such quotients are equal or differ by more than 2^-shift: these integers sort as they do.
    shift = 2 * period.bit_length()
    due = [(((k + 1) * scale - 1) << shift) // weight for _, k, weight in slots]
    by_due = sorted(range(period), key=due.__getitem__)  # stable: of two due together the language named first
    may_come: list[list[int]] = [[] for _ in range(period + 1)]
    for rank, slot in enumerate(by_due):
        _, k, weight = slots[slot]
        may_come[-(-(k * scale + 1) * period // (weight * scale))].append(rank)
    waiting: list[int] = []
    turns = np.empty(period, dtype=np.int64)
    for turn in range(period):
        for rank in may_come[turn + 1]:
            heapq.heappush(waiting, rank)
        turns[turn] = slots[by_due[heapq.heappop(waiting)]][0]
    return turns
