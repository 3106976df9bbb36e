"""The command score-translations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sacrebleu
from click.testing import CliRunner, Result

from fairseq_scaling.cli.score_translations import main
from fairseq_scaling.logs import read_runs
from fairseq_scaling.scores.generation import read_generation
from fairseq_scaling.scores.text import read_text
from tests.logs.samples import GOLDEN

GENERATED, REFERENCE, SOURCE = (
    GOLDEN / name for name in ("generate-sacrebleu-detok.txt", "test.fr.txt", "test.en.txt")
)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_writes_scores_and_prints_them_with_signatures(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = run(GENERATED, "--reference", REFERENCE, "--source", SOURCE, "--out", out)
    assert result.exit_code == 0, result.output
    bleu = sacrebleu.corpus_bleu(read_generation(GENERATED).hypotheses, [read_text(REFERENCE)])
    content = json.loads(out.read_text())
    assert (content["format"], content["run_id"], content["subset"], content["sentences"]) == (1, None, "test", 12)
    assert content["scores"]["bleu"]["value"] == bleu.score
    assert list(content["scores"]) == ["bleu", "chrf", "ter"]
    assert f"{bleu.score:.2f}" in result.output
    assert content["scores"]["ter"]["signature"] in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_the_written_file_is_read_back_as_the_same_scores(tmp_path: Path) -> None:
    generated = GOLDEN / "plugin" / "generate.txt"
    out = tmp_path / "scores.json"
    run(generated, "-r", GOLDEN / "plugin" / "test.bb.txt", "--out", out)
    (record,) = read_runs(out).runs
    written = json.loads(out.read_text())
    assert record.run_id == "886098917233"
    assert record.pretrain_tokens == 19950
    assert {name: score.value for name, score in record.scores.items()} == {
        name: entry["value"] for name, entry in written["scores"].items()
    }


def test_the_run_is_taken_from_the_named_log(tmp_path: Path) -> None:
    generated = tmp_path / "alone.txt"
    generated.write_bytes((GOLDEN / "plugin" / "generate.txt").read_bytes())
    words = (generated, "-r", GOLDEN / "plugin" / "test.bb.txt")
    assert "run unknown" in run(*words).output
    assert "run 886098917233" in run(*words, "--run", GOLDEN / "plugin" / "finetuning.log").output
    refused = run(*words, "--run", GOLDEN / "train-tqdm.log")
    assert refused.exit_code == 2
    assert "holds 0 runs" in refused.output


def test_without_out_the_printed_line_is_read_by_fit_scaling(tmp_path: Path) -> None:
    log = tmp_path / "score.out"
    plugin = GOLDEN / "plugin"
    log.write_text(run(plugin / "generate.txt", "-r", plugin / "test.bb.txt", "-m", "chrf").output)
    (record,) = read_runs(log).runs
    assert record.run_id == "886098917233"
    assert list(record.scores) == ["chrf"]


def test_reference_and_source_come_from_a_corpus_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    class Folder:
        def reference(self, *pair: str) -> Path:
            asked.append(pair)
            return REFERENCE

        def source_text(self, *pair: str) -> Path:
            return SOURCE

    monkeypatch.setattr("fairseq_scaling.data.corpus.Corpus.open", lambda path: Folder())
    out = tmp_path / "scores.json"
    result = run(GENERATED, "--corpus", tmp_path, "--source-lang", "en", "--target-lang", "fr", "-m", "chrf", "-o", out)
    assert result.exit_code == 0, result.output
    assert asked == [("en", "fr", "test")]
    assert json.loads(out.read_text())["reference"] == "test.fr.txt"


def test_plain_text_is_scored_alike(tmp_path: Path) -> None:
    plain = tmp_path / "hyp.txt"
    plain.write_text("\n".join(read_generation(GENERATED).hypotheses) + "\n")
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert run(plain, "--plain", "-r", REFERENCE, "-o", one, "--subset", "valid").exit_code == 0
    assert run(GENERATED, "-r", REFERENCE, "-o", two).exit_code == 0
    assert json.loads(one.read_text())["scores"] == json.loads(two.read_text())["scores"]
    assert json.loads(one.read_text())["subset"] == "valid"


def test_a_wrong_number_of_sentences_names_both_counts(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = run(GOLDEN / "generate-valid.txt", "-r", REFERENCE, "--out", out)
    assert result.exit_code == 2
    assert "has 10 translations" in result.output
    assert "has 12 lines" in result.output
    assert "--required-batch-size-multiple 1" in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((GOLDEN / "generate-missing.txt", "-r", REFERENCE), "2 of the first 10 sentences are missing: 0, 4"),
        (("nothing.txt", "-r", REFERENCE), "no such file"),
        ((GENERATED, "-r", "nothing.txt"), "no such file"),
        ((GENERATED,), "--reference"),
        ((GENERATED, "-r", REFERENCE, "-m", "bleu,rouge"), "choose from bleu, chrf, ter, rouge_l, comet"),
        ((GENERATED, "-r", REFERENCE, "-m", ","), "no such metric"),
        ((GENERATED, "-r", REFERENCE, "-o", "nowhere/scores.json"), "mkdir -p nowhere"),
        ((GENERATED, "-r", REFERENCE, "-m", "comet"), "local checkpoint"),
        ((GENERATED, "--corpus", "nowhere"), "--source-lang"),
        ((GENERATED, "-r", REFERENCE, "-s", GOLDEN / "README.md"), "give the raw text of the very set"),
    ],
)
def test_mistakes_end_with_2_and_a_remedy(words: tuple[object, ...], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_an_existing_file_survives_a_failed_write(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    assert run(GENERATED, "-r", REFERENCE, "-o", out).exit_code == 0
    before = out.read_bytes()
    os.chmod(tmp_path, 0o500)
    try:
        result = run(GENERATED, "-r", REFERENCE, "-o", out, "-m", "bleu")
    finally:
        os.chmod(tmp_path, 0o700)
    if os.geteuid() != 0:  # nothing is read-only for root
        assert result.exit_code == 2
        assert out.read_bytes() == before


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fairseq_scaling.cli.score_translations import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = [name for name in ('torch', 'fairseq', 'sacrebleu', 'scipy', 'numpy') if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--required-batch-size-multiple 1" in done.stdout
