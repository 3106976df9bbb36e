from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_scaling.data.plan import Interleaving, PretrainingPlan, parse_repeat
from fairseq_scaling.errors import SettingError
from fairseq_scaling.mixture import Mixture

mixtures = st.lists(st.integers(1, 40), min_size=1, max_size=6).map(
    lambda weights: Mixture({f"l{i}": Fraction(weight, sum(weights)) for i, weight in enumerate(weights)})
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(mixture=mixtures)
def test_every_prefix_holds_the_shares_to_less_than_one_block(mixture: Mixture) -> None:
    languages, _ = Interleaving(mixture).at(np.arange(700))
    number = len(mixture)
    bound = 0 if number == 1 else 1 - 1 / (2 * number - 2)  # Tijdeman (1980), the best possible
    for index, language in enumerate(mixture.languages):
        had = np.concatenate([[0], np.cumsum(languages == index)])
        assert np.abs(had - np.arange(701) * float(mixture[language])).max() <= bound + 1e-9


@settings(max_examples=100, deadline=None, derandomize=True)
@given(mixture=mixtures)
def test_turns_are_those_of_the_chairman_assignment(mixture: Mixture) -> None:
    """Tijdeman's rule to the letter: of those whose turn may come, the one that would be the first to fall behind."""
    shares, bound = list(mixture.values()), Fraction(1, max(2 * len(mixture) - 2, 1))
    taken = [0] * len(shares)
    expected = []
    for turn in range(1, 300):
        may = [i for i, share in enumerate(shares) if share * turn - taken[i] >= bound or len(shares) == 1]
        chosen = min(may, key=lambda i: (taken[i] + 1 - bound) / shares[i])
        taken[chosen] += 1
        expected.append(chosen)
    assert Interleaving(mixture).at(np.arange(299))[0].tolist() == expected


def test_a_hundred_languages_with_shares_of_five_decimals_take_their_turns() -> None:
    weights = [99_000 - 10 * sum(range(1, 101))] + [10 * number for number in range(1, 101)]
    weights[0] += 100_000 - sum(weights)
    mixture = Mixture({f"l{index:03}": Fraction(weight, 100_000) for index, weight in enumerate(weights)})
    languages, _ = Interleaving(mixture).at(np.arange(100_000))
    assert np.bincount(languages).tolist() == weights


@settings(max_examples=60, deadline=None, derandomize=True)
@given(mixture=mixtures, blocks=st.integers(0, 500))
def test_ranks_agree_with_counting(mixture: Mixture, blocks: int) -> None:
    interleaving = Interleaving(mixture)
    languages, ranks = interleaving.at(np.arange(blocks))
    for index, language in enumerate(mixture.languages):
        mine = languages == index
        assert np.array_equal(ranks[mine], np.arange(mine.sum())), language


@settings(max_examples=60, deadline=None, derandomize=True)
@given(mixture=mixtures, data=st.data())
def test_the_longest_prefix_is_the_longest(mixture: Mixture, data: st.DataObject) -> None:
    available = {language: data.draw(st.integers(0, 60)) for language in mixture.languages}
    interleaving = Interleaving(mixture)
    longest, limiting = interleaving.longest(available)
    names = [mixture.languages[index] for index in interleaving.at(np.arange(longest + 1))[0]]
    assert all(names[:-1].count(language) <= available[language] for language in mixture.languages)
    assert names.count(limiting) > available[limiting]


def _plan(
    mixture: str = "en:0.3,fr:0.7", budgets: tuple[int, ...] = (10_000, 50_000), seed: int = 1
) -> PretrainingPlan:
    return PretrainingPlan(Mixture.parse(mixture), {"en": 40_000, "fr": 60_000}, 70, budgets, seed)


def test_no_block_is_seen_twice() -> None:
    plan = _plan()
    languages, blocks = plan.at(np.arange(plan.budget_blocks[-1]))
    assert len(set(zip(languages.tolist(), blocks.tolist(), strict=True))) == plan.budget_blocks[-1]
    assert blocks[languages == 0].max() < 40_000 // 70
    assert blocks[languages == 1].max() < 60_000 // 70


def _tokens(plan: PretrainingPlan, blocks: int) -> dict[str, int]:
    languages, _ = plan.at(np.arange(blocks))
    counts = np.bincount(languages, minlength=len(plan.languages)) * plan.block_length
    return dict(zip(plan.languages, counts.tolist(), strict=True))


def test_budgets_are_nested_whatever_other_budgets_there_are() -> None:
    small, large = _plan(budgets=(10_000,)), _plan(budgets=(3_000, 10_000, 50_000))
    positions = np.arange(small.budget_blocks[-1])
    for one, other in zip(small.at(positions), large.at(positions), strict=True):
        assert np.array_equal(one, other)


def test_budgets_are_exact_to_one_block() -> None:
    plan = _plan()
    for budget, blocks in zip((10_000, 50_000), plan.budget_blocks, strict=True):
        consumed = _tokens(plan, blocks)
        assert 0 <= budget - sum(consumed.values()) < 70
        assert abs(consumed["en"] - 0.3 * sum(consumed.values())) < 70


def test_the_order_depends_on_the_seed() -> None:
    assert not np.array_equal(_plan(seed=1).at(np.arange(100))[1], _plan(seed=2).at(np.arange(100))[1])


def test_a_budget_beyond_the_data_is_refused_with_the_largest_possible() -> None:
    with pytest.raises(SettingError, match="language 'fr' ends first") as refused:
        _plan(budgets=(100_000,))
    largest = int(str(refused.value).split("budget is ")[1].split()[0])
    assert _tokens(_plan(budgets=(largest,)), largest // 70)["fr"] <= 60_000
    with pytest.raises(SettingError):
        _plan(budgets=(largest + 70,))


@pytest.mark.parametrize(
    ("budgets", "complaint"),
    [
        ((), "no budget"),
        ((50_000, 10_000), "must rise"),
        ((10_000, 10_000), "must rise"),
        ((69,), "below one block"),
        ((10_010, 10_020), "within one block"),
    ],
)
def test_impossible_budgets_are_refused(budgets: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        _plan(budgets=budgets)


def test_shares_without_a_small_common_denominator_are_refused() -> None:
    with pytest.raises(SettingError, match="common denominator"):
        Interleaving(Mixture.parse("en:0.3333333,fr:0.6666667"))


def test_any_position_of_a_trillion_tokens_is_at_hand() -> None:
    plan = PretrainingPlan(Mixture.parse("en:0.5,fr:0.5"), {"en": 10**12, "fr": 10**12}, 568, [10**12], 1)
    positions = np.array([0, 10**9, plan.budget_blocks[-1] - 1])
    _languages, blocks = plan.at(positions)
    assert (blocks < 10**12 // 568).all()
    assert plan.budget_blocks[-1] * 568 <= 10**12


def repeating(repeat: str, budgets: list[int]) -> PretrainingPlan:
    mixture = Mixture.parse("en:0.5,fr:0.5")
    passes = parse_repeat(repeat, mixture.languages)
    return PretrainingPlan(mixture, {"en": 700, "fr": 7000}, 70, budgets, 1, passes)


def test_text_that_is_repeated_comes_in_a_new_order_and_under_new_numbers() -> None:
    plan = repeating("en:3", [4200])
    languages, numbers = plan.at(np.arange(60))
    english = numbers[languages == 0]
    passes = [english[first : first + 10] for first in (0, 10, 20)]
    assert [sorted(numbers) for numbers in passes] == [list(range(first, first + 10)) for first in (0, 10, 20)]
    orders = {tuple((numbers % 10).tolist()) for numbers in passes}
    assert len(orders) == 3
    assert _tokens(plan, 60) == {"en": 2100, "fr": 2100}


def test_the_first_pass_is_that_of_a_run_without_repetition() -> None:
    once, often = repeating("1", [1400]), repeating("4", [5600])
    assert all(np.array_equal(*both) for both in zip(once.at(np.arange(20)), often.at(np.arange(20)), strict=True))


def test_a_budget_beyond_the_passes_names_the_number_that_would_do() -> None:
    with pytest.raises(SettingError, match=r"would repeat data: language 'en' .*\n.* 1400 tokens.*--repeat en:2"):
        repeating("1", [1470])
    with pytest.raises(SettingError, match=r"more than 2 times: .*\n.* 2800 tokens.*--repeat en:3"):
        repeating("en:2", [2870])


@pytest.mark.parametrize(
    ("text", "passes"),
    [("1", (1, 1)), ("4", (4, 4)), (4, (4, 4)), ("fr:2", (1, 2)), (" fr:2 , en:3", (3, 2))],
)
def test_passes_are_read_for_all_languages_or_by_language(text: str | int, passes: tuple[int, int]) -> None:
    assert tuple(parse_repeat(text, ("en", "fr")).values()) == passes


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "en", "en:", "en:2,en:3", "2,en:3", "en:3,2", "de:2", "1001"])
def test_impossible_passes_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match="repeat"):
        parse_repeat(text, ("en", "fr"))
