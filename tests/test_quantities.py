import pytest

from fairseq_scaling.errors import SettingError
from fairseq_scaling.quantities import QUANTITIES, format_tokens, parse_tokens, quantity


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("250000", 250_000), (250_000, 250_000), ("250k", 250_000), ("0.25M", 250_000), (" 1_000 ", 1000),
        ("3B", 3 * 10**9), ("3G", 3 * 10**9), ("1.5T", 15 * 10**11), ("1e6", 10**6), ("2.5e3k", 2_500_000),
        ("37,410", 37_410), ("1,234,567", 1_234_567),
        ("0.1M", 100_000),  # 0.1 is no binary fraction: floats would give 100000.00000000001 for some of these
    ],
)  # fmt: skip
def test_numbers_of_tokens_are_read_exactly(text: str | int, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["", "many", "-5", "1.5", "0.3k3", "1 M 2", "nan", "1e-3", "1,5", "1,50M", "1234,567"])
def test_what_is_no_whole_number_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="budgets"):
        parse_tokens(text, "budgets")


def test_numbers_of_tokens_are_written_short() -> None:
    assert [format_tokens(n) for n in (0, 999, 1000, 250_000, 1_234_567, 3 * 10**9)] == [
        "0", "999", "1k", "250k", "1.235M", "3B",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "title", "amount"),
    [
        ("pretrain_tokens", "pretraining tokens", "250k tokens"),
        ("finetune_tokens", "finetuning tokens", "250k tokens"),
        ("params", "parameters", "250k parameters"),
        ("Global Step", "updates", "250k updates"),
        ("training_flops", "FLOPs", "2.5e5 FLOPs"),
        ("layers", "layers", "250k"),
    ],
)
def test_a_quantity_on_the_x_axis_has_its_title_and_unit(name: str, title: str, amount: str) -> None:
    found = quantity(name)
    assert (found.title, found.amount(250_000)) == (title, amount)


def test_large_numbers_of_flops_are_written_with_an_exponent() -> None:
    flops = quantity("flops")
    assert [flops.format(n) for n in (0, 1.2345678e18, 3e21, 5000, 1e-7)] == ["0", "1.235e18", "3e21", "5000", "1e-7"]


def test_no_alias_belongs_to_two_quantities() -> None:
    for known in QUANTITIES.values():
        for alias in (known.name, *known.aliases):
            assert quantity(alias) is known
