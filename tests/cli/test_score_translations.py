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
from fairseq_scaling.metrics import METRICS
from fairseq_scaling.scores import scoring
from fairseq_scaling.scores.generation import read_generation
from fairseq_scaling.scores.text import read_text
from tests.data.tiny import renew, write_corpus
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


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a corpus folder with the raw test set of the golden output, two of whose letters were never trained."""
    folder = write_corpus(tmp_path / "corpus", {}, {"en-fr": ([[5]], [[6]])})
    for language, path in (("en", SOURCE), ("fr", REFERENCE)):
        (folder / f"pairs/en-fr/test.{language}.txt").write_bytes(path.read_bytes())
    manifest = json.loads((folder / "corpus.json").read_text())
    manifest["pairs"]["en-fr"]["test"] = manifest["pairs"]["en-fr"]["train"]
    counts = {"count": 7, "characters": 400, "most_frequent": {"«": 4, "–": 3}}
    manifest["text"] = {"unseen_characters": {"en-fr": {"test": {"fr": counts}}}}
    (folder / "corpus.json").write_text(json.dumps(manifest))
    return renew(folder)


def test_reference_and_source_come_from_a_corpus_folder(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    argv = (GENERATED, "--corpus", corpus, "--source-lang", "en", "--target-lang", "fr", "-m", "chrf", "-o", out)
    result = run(*argv)
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["references"] == ["test.fr.txt"]


def test_characters_of_the_reference_that_training_never_saw_are_said(corpus: Path) -> None:
    argv = (GENERATED, "--corpus", corpus, "--source-lang", "en", "--target-lang", "fr", "-m", "chrf")
    said = "7 of 400 characters of the reference never occur in the training text; most often « –"
    assert said in run(*argv).stderr
    there = (SOURCE, "--plain", "--corpus", corpus, "--source-lang", "fr", "--target-lang", "en", "-m", "chrf")
    assert "never occur" not in run(*there).stderr


CHINESE = "今天的天气很好我们去公园散步吧"
CHINESE_REFERENCES = [CHINESE[start:] + CHINESE[:start] + "。" for start in range(len(CHINESE))]
CHINESE_OUTPUT = [text.replace("公园", "花园").replace("很", "") for text in CHINESE_REFERENCES]


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_output(path: Path, lines: list[str], kind: str = "D") -> Path:
    return write_lines(path, [f"{kind}-{number}\t-0.1\t{line}" for number, line in enumerate(lines)])


@pytest.mark.parametrize("code", ["zh", "zh_CN", "zho_Hans"])
def test_chinese_is_scored_with_sacrebleus_tokenizer_for_it(tmp_path: Path, code: str) -> None:
    output = write_output(tmp_path / "gen.txt", CHINESE_OUTPUT)
    reference = write_lines(tmp_path / "ref.txt", CHINESE_REFERENCES)
    out = tmp_path / "scores.json"
    assert run(output, "-r", reference, "--target-lang", code, "-m", "bleu,ter", "-o", out).exit_code == 0
    scores = json.loads(out.read_text())["scores"]
    expected = sacrebleu.corpus_bleu(CHINESE_OUTPUT, [CHINESE_REFERENCES], tokenize="zh").score
    assert scores["bleu"]["value"] == expected > 50
    assert "tok:zh" in scores["bleu"]["signature"]
    assert "asian:yes" in scores["ter"]["signature"]
    assert scores["ter"]["value"] < 50


def test_text_without_spaces_is_not_scored_as_words_where_its_language_is_unknown(tmp_path: Path) -> None:
    output = write_output(tmp_path / "gen.txt", CHINESE_OUTPUT)
    reference = write_lines(tmp_path / "ref.txt", CHINESE_REFERENCES)
    refused = run(output, "-r", reference)
    assert refused.exit_code == 2
    assert "--target-lang" in refused.output
    assert run(output, "-r", reference, "-m", "chrf").exit_code == 0
    assert run(output, "-r", reference, "--bleu-tokenizer", "char").exit_code == 0


def test_the_target_language_is_taken_from_the_output(tmp_path: Path) -> None:
    output = write_output(tmp_path / "gen.txt", CHINESE_OUTPUT)
    config = "| INFO | fairseq_cli.generate | {'_name': None, 'task': {'target_lang': 'zh', 'data': 'x'}}"
    output.write_text(f"2026-01-01 00:00:00 {config}\n" + output.read_text())
    reference = write_lines(tmp_path / "ref.txt", CHINESE_REFERENCES)
    assert "tok:zh" in run(output, "-r", reference, "-m", "bleu").output


def test_a_score_of_zero_is_an_alarm(tmp_path: Path) -> None:
    output = write_output(tmp_path / "gen.txt", ["aaa bbb"] * 5)
    out = tmp_path / "scores.json"
    result = run(output, "-r", write_lines(tmp_path / "ref.txt", ["xxx yyy"] * 5), "-o", out)
    assert result.exit_code == 0
    assert "the score is 0 in bleu, chrf" in result.stderr
    assert [problem["kind"] for problem in json.loads(out.read_text())["problems"]] == ["all_zero"]


def test_empty_reference_lines_are_said(tmp_path: Path) -> None:
    reference = write_lines(tmp_path / "ref.txt", ["a b c d", "", "e f g h"])
    result = run(write_output(tmp_path / "gen.txt", ["a b c d", "x", ""]), "-r", reference)
    assert "1 of 3 reference lines are empty; the first is line 2" in result.stderr
    assert "1 of 3 translations are empty; the first is sentence 2" in result.stderr


def test_several_references_are_used_as_sacrebleu_uses_them(tmp_path: Path) -> None:
    hypotheses, first, second = (
        ["a cat sat on it", "the dogs ran off"],
        ["the cat sat on it", "dogs run"],
        ["", "the dogs ran"],
    )
    out = tmp_path / "scores.json"
    references = ["-r", write_lines(tmp_path / "one.txt", first), "-r", write_lines(tmp_path / "two.txt", second)]
    result = run(write_output(tmp_path / "gen.txt", hypotheses), *references, "-m", "bleu,chrf", "-o", out)
    assert result.exit_code == 0, result.output
    assert (
        "1 of 2 lines of reference 2 are empty; these sentences are scored against the other references"
        in result.stderr
    )
    content = json.loads(out.read_text())
    given = [first, [None, "the dogs ran"]]
    assert content["references"] == ["one.txt", "two.txt"]
    assert content["scores"]["bleu"]["value"] == sacrebleu.corpus_bleu(hypotheses, given).score
    assert content["scores"]["chrf"]["value"] == sacrebleu.corpus_chrf(hypotheses, given).score


BPE = [f"le ch@@ at num@@ éro {number} dort sur le ta@@ pis" for number in range(20)]
SENTENCEPIECE = ["\u2581" + line.replace("@@ ", "@@").replace(" ", " \u2581").replace("@@", " ") for line in BPE]
WHOLE = [f"le chat numéro {number} dort sur le tapis" for number in range(20)]


@pytest.mark.parametrize(
    ("pieces", "title"),
    [
        (BPE, "subword-nmt (@@)"),
        (SENTENCEPIECE, "SentencePiece"),
        ([line.replace("@@ ", " ##") for line in BPE], "WordPiece (##)"),
        ([line.replace("@@ ", " \uffed") for line in BPE], "OpenNMT joiner (\uffed)"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_subword_pieces_are_joined_and_said(tmp_path: Path, pieces: list[str], title: str, plain: bool) -> None:
    write = write_lines if plain else write_output
    argv = [write(tmp_path / "gen.txt", pieces), "-r", write_lines(tmp_path / "ref.txt", WHOLE), "-m", "bleu"]
    argv += ["--plain"] if plain else []
    out = tmp_path / "scores.json"
    result = run(*argv, "-o", out)
    assert f"the translations are in {title} pieces" in result.stderr
    assert json.loads(out.read_text())["scores"]["bleu"]["value"] == pytest.approx(100)
    kept = run(*argv, "--join", "none", "-o", out)
    assert "were joined" not in kept.stderr
    assert json.loads(out.read_text())["scores"]["bleu"]["value"] < 60


def test_a_reference_in_pieces_is_refused(tmp_path: Path) -> None:
    result = run(write_output(tmp_path / "gen.txt", WHOLE), "-r", write_lines(tmp_path / "ref.txt", BPE))
    assert result.exit_code == 2
    assert "the reference is in subword-nmt (@@) pieces" in result.output


def test_text_that_is_still_tokenised_is_said(tmp_path: Path) -> None:
    output = write_output(tmp_path / "gen.txt", [f"{line} ." for line in WHOLE])
    result = run(output, "-r", write_lines(tmp_path / "ref.txt", [f"{line}." for line in WHOLE]))
    assert "20 of 20 translations look tokenised" in result.stderr
    assert "--tokenizer moses" in result.stderr


def test_the_score_file_holds_an_interval_for_each_score_and_names_the_test_set(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    run(GENERATED, "-r", REFERENCE, "-m", "bleu,chrf,ter,rouge_l", "--subset", "newstest2014", "-o", out)
    content = json.loads(out.read_text())
    assert (content["subset"], content["sentences"], len(content["reference_sha256"])) == ("newstest2014", 12, 64)
    for entry in content["scores"].values():
        assert (entry["level"], entry["n_bootstrap"]) == (0.95, 1000)
        assert entry["lower"] <= entry["value"] <= entry["upper"]
        assert entry["lower"] < entry["upper"]


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
        ((GENERATED, "-r", REFERENCE, "-m", "bleu,rouge"), "choose from bleu, chrf, ter, comet, rouge_l"),
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


def test_the_help_names_the_metrics_that_can_be_computed() -> None:
    shown = " ".join(run("--help").output.split())
    assert "Of " + ", ".join(scoring.METRICS) in shown
    assert set(scoring.DEFAULT_METRICS) < set(scoring.METRICS) < set(METRICS)
