"""The tokenizer of a language."""

from __future__ import annotations

import pytest
from sacrebleu.metrics import BLEU

from fairseq_scaling.errors import SettingError
from fairseq_scaling.scores.languages import (
    check_tokenizer,
    is_unspaced,
    language_of,
    split_words,
    tokenizer_for,
    unspaced_share,
)


@pytest.mark.parametrize(
    ("code", "language"),
    [("zh_CN", "zh"), ("zh-TW", "zh"), ("zho_Hans", "zh"), ("cmn", "zh"), ("ja_XX", "ja"), ("jpn_Jpan", "ja"),
     ("kor_Hang", "ko"), ("th_TH", "th"), ("FR", "fr"), ("de", "de"), ("fra_Latn", "fra")],
)  # fmt: skip
def test_codes_of_corpora_and_models_name_their_language(code: str, language: str) -> None:
    assert language_of(code) == language


@pytest.mark.parametrize("code", ["zh", "en", "fr", "de", "ru", "ar"])
def test_the_tokenizer_is_the_one_sacrebleu_chooses(code: str) -> None:
    assert BLEU(tokenize=tokenizer_for(code)).tokenizer_signature == BLEU(trg_lang=code).tokenizer_signature


def test_the_tokenizers_of_japanese_korean_and_thai() -> None:
    codes = ("ja", "ko", "th", "km", None, "xx")
    assert [tokenizer_for(code) for code in codes] == ["ja-mecab", "ko-mecab", "char", "char", "13a", "13a"]
    assert [is_unspaced(code) for code in codes] == [True, False, True, True, False, False]


@pytest.mark.parametrize(("tokenizer", "package"), [("ja-mecab", "MeCab"), ("ko-mecab", "mecab_ko")])
def test_a_tokenizer_that_is_not_installed_is_named_with_its_package(
    tokenizer: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"sacrebleu.tokenizers.tokenizer_{tokenizer.replace('-', '_')}", raising=False)
    with pytest.raises(SettingError, match=rf'pip install "sacrebleu\[{tokenizer[:2]}\]"') as error:
        check_tokenizer(tokenizer)
    assert error.value.value == tokenizer


def test_an_unknown_tokenizer_names_the_known_ones() -> None:
    with pytest.raises(SettingError, match="13a"):
        check_tokenizer("14b")


def test_scripts_without_spaces_are_recognised() -> None:
    assert unspaced_share(["我们去公园", "東京へ行く"]) == 1
    assert unspaced_share(["ไปเที่ยว"]) > 0.9
    assert unspaced_share(["le chat", "кошка", "고양이가"]) == 0
    assert unspaced_share(["", "123"]) == 0


def test_words_are_whole_and_letters_without_spaces_stand_alone() -> None:
    assert split_words("L'Été, iPhone 15: 我们go") == ["l", "été", "iphone", "15", "我", "们", "go"]
