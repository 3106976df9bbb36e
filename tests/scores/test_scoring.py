"""Scores against sacrebleu and rouge-score themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import sacrebleu

from fairseq_scaling.errors import DataError, SettingError
from fairseq_scaling.scores.generation import read_generation
from fairseq_scaling.scores.scoring import METRICS, score_translations
from fairseq_scaling.scores.text import read_text
from tests.logs.samples import GOLDEN

HYPOTHESES = read_generation(GOLDEN / "generate-sacrebleu-detok.txt").hypotheses
REFERENCES = read_text(GOLDEN / "test.fr.txt")


def test_scores_are_those_of_sacrebleu() -> None:
    scores = score_translations(HYPOTHESES, [REFERENCES])
    bleu = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES])
    assert scores["bleu"].value == bleu.score
    assert scores["bleu"].details == {
        "brevity_penalty": bleu.bp,
        "precisions": bleu.precisions,
        "hypothesis_length": bleu.sys_len,
        "reference_length": bleu.ref_len,
    }
    assert scores["chrf"].value == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert scores["ter"].value == sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score


def test_the_score_is_the_one_fairseq_printed_for_clean_text() -> None:
    # fairseq itself called sacrebleu on the same sentences; its references hold no <unk>
    last = (GOLDEN / "generate-sacrebleu-detok.txt").read_text().splitlines()[-1]
    assert f"BLEU = {score_translations(HYPOTHESES, [REFERENCES], ['bleu'])['bleu'].value:.2f} " in last


def test_every_score_has_a_signature_with_a_version() -> None:
    scores = score_translations(HYPOTHESES, [REFERENCES], ["bleu", "chrf", "ter"])
    assert all(f"version:{sacrebleu.__version__}" in score.signature for score in scores.values())
    assert "tok:13a" in scores["bleu"].signature
    assert "tok:intl" in score_translations(HYPOTHESES, [REFERENCES], ["bleu"], bleu_tokenizer="intl")["bleu"].signature


def test_perfect_translations_score_a_hundred() -> None:
    pytest.importorskip("rouge_score")
    scores = score_translations(REFERENCES, [REFERENCES], ["bleu", "chrf", "ter", "rouge_l"])
    assert {metric: score.value for metric, score in scores.items()} == pytest.approx(
        {"bleu": 100, "chrf": 100, "ter": 0, "rouge_l": 100}
    )


def test_rouge_l_is_the_mean_f1_of_rouge_score() -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    hypotheses, references = ["the cat sat on the mat", "a dog"], ["the cat was on the mat", "the big dog ran"]
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    f1 = [scorer.score(r, h)["rougeL"].fmeasure for h, r in zip(hypotheses, references, strict=True)]
    assert score_translations(hypotheses, [references], ["rouge_l"])["rouge_l"].value == pytest.approx(50 * sum(f1))


def test_rouge_l_keeps_accented_words_whole() -> None:
    pytest.importorskip("rouge_score")
    # cut at the accents, "été" and "âté" would share the letter t
    assert score_translations(["été"], [["âté"]], ["rouge_l"])["rouge_l"].value == 0


def test_different_numbers_of_sentences_are_an_error() -> None:
    with pytest.raises(DataError, match="12 translations, but 11 lines in reference 1"):
        score_translations(HYPOTHESES, [REFERENCES[:-1]])
    with pytest.raises(DataError, match="no translations"):
        score_translations([], [[]])


def test_unknown_metrics_and_tokenizers_name_the_known_ones() -> None:
    with pytest.raises(SettingError, match=", ".join(METRICS)):
        score_translations(HYPOTHESES, [REFERENCES], ["meteor"])
    with pytest.raises(SettingError, match="13a"):
        score_translations(HYPOTHESES, [REFERENCES], ["bleu"], bleu_tokenizer="14b")


@pytest.mark.parametrize(
    ("metric", "module", "extra"), [("rouge_l", "rouge_score", "rouge"), ("comet", "comet", "comet")]
)
def test_a_missing_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metric: str, module: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    model = tmp_path / "model.ckpt"
    model.write_text("x")
    with pytest.raises(SettingError, match=rf"fairseq-scaling\[{extra}\]"):
        score_translations(HYPOTHESES, [REFERENCES], [metric], sources=HYPOTHESES, comet_model=model)


def test_comet_gets_source_translation_and_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """COMET itself is too large for the tests: a stand-in with its interface shows what it is given."""
    seen: list[dict[str, str]] = []

    class Model:
        def predict(self, data: list[dict[str, str]], **_: object) -> SimpleNamespace:
            seen.extend(data)
            return SimpleNamespace(system_score=0.75, scores=[0.75])

    module = ModuleType("comet")
    module.load_from_checkpoint = lambda path: Model()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comet", module)
    model = tmp_path / "model.ckpt"
    model.write_text("weights")
    score = score_translations(["le chat"], [["un chat"]], ["comet"], sources=["a cat"], comet_model=model)["comet"]
    assert score.value == 0.75
    assert seen == [{"src": "a cat", "mt": "le chat", "ref": "un chat"}]
    model.write_text("other weights")
    other = score_translations(["le chat"], [["un chat"]], ["comet"], sources=["a cat"], comet_model=model)["comet"]
    assert other.signature != score.signature


def test_comet_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="needs a local checkpoint"):
        score_translations(["a"], [["a"]], ["comet"], sources=["a"])
    with pytest.raises(SettingError, match="no such file"):
        score_translations(["a"], [["a"]], ["comet"], sources=["a"], comet_model=tmp_path / "none.ckpt")
    model = tmp_path / "model.ckpt"
    model.write_text("x")
    with pytest.raises(SettingError, match="needs the source text"):
        score_translations(["a"], [["a"]], ["comet"], comet_model=model)
