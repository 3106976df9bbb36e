"""The mixture of pretraining languages, and its alignment with a translation task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from .errors import SettingError

_EXAMPLE = "write language:share pairs that sum to one, for example en:0.5,fr:0.5 or en:1/3,fr:2/3"


class Mixture(Mapping[str, Fraction]):
    """Language -> share, exact and summing to one, sorted by language: a mixture has one order, however it is written.

    Shares are exact fractions, so that what a run consumes can be checked to the block.
    """

    def __init__(self, shares: Mapping[str, Fraction | int]) -> None:
        self._shares = {language: Fraction(share) for language, share in sorted(shares.items())}
        written = ",".join(f"{language}:{share}" for language, share in self._shares.items())
        if not self._shares:
            raise SettingError("mixture", repr(written), "no language", _EXAMPLE)
        if any(share <= 0 for share in self._shares.values()):
            raise SettingError("mixture", written, "every share must be above zero", _EXAMPLE)
        total = sum(self._shares.values())
        if total != 1:
            raise SettingError("mixture", written, f"the shares sum to {float(total):g}, not to 1", _EXAMPLE)

    @classmethod
    def parse(cls, text: str) -> Mixture:
        """Return the mixture written as ``en:0.5,fr:0.5``; a lone language (``fr``) has share 1.

        Raises:
            SettingError: the text is malformed, names a language twice, or the shares do not sum to one.
        """
        entries = [entry.strip() for entry in str(text).split(",")]
        shares: dict[str, Fraction] = {}
        for entry in entries:
            language, colon, share = entry.partition(":")
            language = language.strip()
            if not language or (not colon and len(entries) > 1):
                raise SettingError("mixture", text, f"cannot read {entry!r}", _EXAMPLE)
            if language in shares:
                raise SettingError("mixture", text, f"language {language!r} is listed twice", _EXAMPLE)
            try:
                shares[language] = Fraction(share.strip()) if colon else Fraction(1)
            except (ValueError, ZeroDivisionError):
                raise SettingError("mixture", text, f"{share!r} is not a share", _EXAMPLE) from None
        return cls(shares)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._shares)

    def alignment(self, source_lang: str, target_lang: str) -> float:
        """Return the paper's translation alignment score A(D, T) with the task source -> target.

        ``A = P_src * P_tgt + 0.7 * P_src + 0.8 * P_tgt`` (Isik et al., ICLR 2025, section 4): 1 for half source and
        half target, 0.7 for source alone, 0.8 for target alone, 0 for neither.
        """
        return alignment_score(self.get(source_lang, Fraction(0)), self.get(target_lang, Fraction(0)))

    def as_floats(self) -> dict[str, float]:
        """Return language -> share as floats, for logs and tables."""
        return {language: float(share) for language, share in self._shares.items()}

    def __str__(self) -> str:
        return ",".join(f"{language}:{_decimal(share)}" for language, share in self._shares.items())

    def __repr__(self) -> str:
        return f"Mixture({str(self)!r})"

    def __hash__(self) -> int:
        return hash(tuple(self._shares.items()))

    def __getitem__(self, language: str) -> Fraction:
        return self._shares[language]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shares)

    def __len__(self) -> int:
        return len(self._shares)


def alignment_score(source: Fraction | float, target: Fraction | float) -> float:
    """Return ``source * target + 0.7 * source + 0.8 * target``: the paper's formula for what is there of each side.

    The paper puts the shares of the two languages into it (see :meth:`Mixture.alignment`).
    """
    return float(source * target + Fraction(7, 10) * source + Fraction(8, 10) * target)


def _decimal(share: Fraction) -> str:
    """Return the share as a decimal where that is exact, as a fraction where not."""
    text = f"{float(share):.10g}"
    return text if Fraction(text) == share else str(share)
