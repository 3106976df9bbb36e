from fractions import Fraction

import pytest

from fairseq_scaling.errors import SettingError
from fairseq_scaling.mixture import Mixture


@pytest.mark.parametrize(
    ("mixture", "score"),
    [  # Isik et al. (ICLR 2025), section 4 and the captions of its figures
        ("en:0.5,fr:0.5", 1.0),
        ("en", 0.7),
        ("fr", 0.8),
        ("de", 0.0),
        ("en:0.3,fr:0.7", 0.3 * 0.7 + 0.7 * 0.3 + 0.8 * 0.7),
        ("en:0.7,fr:0.3", 0.7 * 0.3 + 0.7 * 0.7 + 0.8 * 0.3),
    ],
)
def test_alignment_is_the_papers_score(mixture: str, score: float) -> None:
    assert Mixture.parse(mixture).alignment("en", "fr") == pytest.approx(score, abs=1e-15)


def test_alignment_depends_on_the_direction() -> None:
    assert Mixture.parse("en").alignment("fr", "en") == pytest.approx(0.8)


def test_shares_are_exact_fractions() -> None:
    mixture = Mixture.parse("en:0.1, fr:1/3 ,de:17/30")
    assert dict(mixture) == {"en": Fraction(1, 10), "fr": Fraction(1, 3), "de": Fraction(17, 30)}
    assert mixture.languages == ("de", "en", "fr")


@pytest.mark.parametrize("text", ["fr:0.5,en:0.5", " fr:1/2, en:0.50", "en:0.5,fr:0.5"])
def test_a_mixture_has_one_order_however_it_is_written(text: str) -> None:
    mixture = Mixture.parse(text)
    assert (str(mixture), mixture.languages) == ("en:0.5,fr:0.5", ("en", "fr"))
    assert {mixture: "one"}[Mixture.parse("en:0.5,fr:0.5")] == "one"


@pytest.mark.parametrize("text", ["en:0.5,fr:0.5", "fr", "en:1/3,fr:2/3", "en:0.125,fr:0.875"])
def test_a_written_mixture_reads_back(text: str) -> None:
    mixture = Mixture.parse(text)
    assert dict(Mixture.parse(str(mixture))) == dict(mixture)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("en:0.5,fr:0.4", "sum to 0.9"),
        ("en:0.5,en:0.5", "twice"),
        ("en:0,fr:1", "above zero"),
        ("en:-1,fr:2", "above zero"),
        ("en:half,fr:0.5", "'half' is not a share"),
        ("en:1/0", "is not a share"),
        ("", "cannot read"),
        ("en,fr", "cannot read 'en'"),
        ("en:0.5,,fr:0.5", "cannot read ''"),
    ],
)
def test_an_impossible_mixture_is_refused_with_an_example(text: str, complaint: str) -> None:
    with pytest.raises(SettingError, match="mixture") as refused:
        Mixture.parse(text)
    assert complaint in str(refused.value)
    assert "en:0.5,fr:0.5" in str(refused.value)
