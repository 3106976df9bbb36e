"""The command scaling-alignment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairseq_scaling.cli.alignment import main
from fairseq_scaling.data.corpus import Corpus
from fairseq_scaling.logs import read_runs
from fairseq_scaling.mixture import Mixture
from tests.data.tiny import write_corpus

A, B, C, D = range(4, 8)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """English is A and B, French C and D; the task's French is half English."""
    mono = {"en": [[A, B, A]] * 20, "fr": [[C, D, C]] * 20}
    return write_corpus(tmp_path / "corpus", mono, {"en-fr": ([[A, B, A]], [[A, B, C, D]])})


def test_every_mixture_is_shown_and_written_for_every_task(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "alignment.json"
    mixtures = ("--mixture", "en:0.5,fr:0.5", "--mixture", "en")
    result = run(corpus, "--task", "en-fr", "--task", "fr-en", *mixtures, "--sample", "48", "--out", out)
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    assert (content["format"], content["sample_tokens"]) == (1, 48)
    assert content["corpus"] == Corpus.open(corpus).fingerprint
    rows = {(row["mixture"], row["source_lang"]): row for row in content["alignments"]}
    assert set(rows) == {(mixture, source) for mixture in ("en:0.5,fr:0.5", "en:1") for source in ("en", "fr")}
    english = rows["en:1", "en"]
    assert english["task_tokens"] == {"source": 4, "target": 5}
    # English: A 2/3, B 1/3; the target: a quarter of each piece; its bigrams AB, BC, CD.
    assert english["measures"]["alignment"] == 0.7
    assert english["measures"]["unigram_source"] == pytest.approx(1)
    assert english["measures"]["unigram_target"] == pytest.approx(1 / 2)
    assert english["measures"]["coverage_2_target"] == pytest.approx(1 / 3)
    assert rows["en:0.5,fr:0.5", "en"]["measures"]["coverage_2_target"] == pytest.approx(2 / 3)
    for shown in ("en-fr", "fr-en", "samples of 48 tokens", "0.33", f"written to {out}"):
        assert shown in result.output


def test_fit_scaling_reads_what_was_written(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "alignment.json"
    assert run(corpus, "--task", "en-fr", "--mixture", "en:1/3,fr:2/3", "--out", out).exit_code == 0
    (found,) = read_runs(out).alignments
    assert (found.mixture, found.source_lang, found.target_lang) == (Mixture.parse("en:1/3,fr:2/3"), "en", "fr")
    assert found.measures == json.loads(out.read_text())["alignments"][0]["measures"]


def test_the_same_corpus_gives_the_same_file(corpus: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.json", "two.json")]
    for file in files:
        run(corpus, "--task", "en-fr", "--mixture", "en", "--mixture", "fr:0.5,en:0.5", "--out", file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_mixture_named_twice_is_measured_once(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "alignment.json"
    run(corpus, "--task", "en-fr", "--mixture", "en:0.5,fr:0.5", "--mixture", "fr:1/2,en:1/2", "--out", out)
    assert len(json.loads(out.read_text())["alignments"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "en-fr", "--mixture", "de"), "language = de"),
        (("--task", "en-fr", "--mixture", "en:0.5,de:0.5"), "monolingual text in: en, fr"),
        (("--task", "en-de", "--mixture", "en"), "has the pairs: en-fr"),
        (("--task", "enfr", "--mixture", "en"), "write source-target, for example en-fr"),
        (("--task", "en-fr", "--mixture", "en:0.4,fr:0.4"), "sum to 0.8"),
        (("--task", "en-fr", "--mixture", "en", "--sample", "1M"), "fills at most 80 tokens"),
        (("--task", "en-fr", "--mixture", "en", "--sample", "many"), "not a number of tokens"),
        (("--task", "en-fr", "--mixture", "en", "--out", "nowhere/alignment.json"), "mkdir -p nowhere"),
        (("--mixture", "en"), "Missing option '--task'"),
        (("--task", "en-fr"), "Missing option '--mixture'"),
    ],
)
def test_mistakes_end_with_2_and_a_remedy(corpus: Path, words: tuple[str, ...], message: str) -> None:
    result = run(corpus, *words)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_that_is_no_corpus_is_told_with_a_remedy(tmp_path: Path) -> None:
    result = run(tmp_path, "--task", "en-fr", "--mixture", "en")
    assert result.exit_code == 2
    assert "scaling-preprocess encode" in result.output


def test_help_is_fast_and_measuring_needs_neither_torch_nor_fairseq(corpus: Path) -> None:
    code = (
        "import sys\nfrom fairseq_scaling.cli.alignment import main\n"
        "def run(*words):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert not end.code\n"
        "run('--help')\n"
        "assert 'numpy' not in sys.modules\n"
        f"run({str(corpus)!r}, '--task', 'en-fr', '--mixture', 'en')\n"
        "heavy = [name for name in ('torch', 'fairseq', 'scipy', 'sentencepiece') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "scaling-alignment corpus --task en-fr --mixture en:0.5,fr:0.5" in done.stdout
