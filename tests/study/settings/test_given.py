"""Studies that finetune finished checkpoints: what study.yaml can say, what is planned, what a change does again."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fairseq_scaling.errors import DataError, ScalingError
from fairseq_scaling.study.plan import pricing
from fairseq_scaling.study.plan.jobs import Plan
from fairseq_scaling.study.plan.planner import make_plan
from fairseq_scaling.study.results.sequential import limited
from fairseq_scaling.study.run.folder import StudyFolder
from fairseq_scaling.study.run.job import resolve
from fairseq_scaling.study.run.pending import decided_by
from fairseq_scaling.study.settings.config import load_study, study_schema
from fairseq_scaling.study.settings.given import check_given, given_rows
from tests.study.conftest import Fakes
from tests.study.helpers import kinds, refusal, value_of

Write = Callable[[dict[str, Any] | str], Path]


def save(path: Path, content: str) -> None:
    """Write a file in the form of torch's checkpoints, which no program of these tests opens."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)


@pytest.fixture
def given(values: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A study of two checkpoints and the baseline on a finished corpus, all of which are there."""
    del values["text"], values["pretraining"]
    for name in ("small", "base"):
        save(tmp_path / f"models/{name}.pt", name)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/corpus.json").write_text('{"fingerprint": "abc"}')
    checkpoints = [{"name": f"mt5-{name}", "file": f"models/{name}.pt"} for name in ("small", "base")]
    return {**values, "corpus": "corpus", "checkpoints": checkpoints}


@pytest.fixture
def both(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The same study, which pretrains one mixture at two budgets besides."""
    return {**given, "pretraining": {"mixtures": ["de:1"], "budgets": ["1M", "2M"]}}


def plan_of(study: dict[str, Any], write_study: Write) -> Plan:
    return make_plan(load_study(write_study(study)))


# -- study.yaml --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checkpoints", "parts"),
    [
        ([], ["pretraining, checkpoints", "neither is given"]),
        ([{"name": "a/b", "file": "x"}], ["checkpoints[0].name", "a/b", "folder", "mt5-small"]),
        ([{"name": 3, "file": "x"}], ["checkpoints[0].name", "name = 3", "folder"]),
        ([{"name": "a", "flie": "x"}], ["checkpoints[0].flie: unknown key; did you mean 'file'?", "file is missing"]),
        ([{"name": "a", "file": "x"}, {"name": "a", "file": "y"}], ["checkpoints: name = a", "twice"]),
        ([{"name": "a", "file": "x"}, {"name": "b", "file": "x"}], ["checkpoints: file = x", "twice"]),
    ],
)
def test_an_impossible_checkpoint_is_refused_with_key_value_and_remedy(
    given: dict[str, Any], write_study: Write, checkpoints: list[dict[str, Any]], parts: list[str]
) -> None:
    message = refusal(write_study, {**given, "checkpoints": checkpoints})
    assert [part for part in ["study.yaml", *parts] if part not in message] == []


def test_text_is_encoded_with_the_vocabulary_of_the_checkpoints_and_no_other(
    given: dict[str, Any], write_study: Write
) -> None:
    del given["corpus"]
    given["text"] = {"source": "files", "languages": ["en", "fr"], "pairs": ["en-fr"]}
    message = refusal(write_study, given)
    assert "checkpoints = mt5-small, mt5-base" in message
    assert "text.vocabulary" in message
    given["text"] |= {"vocabulary": "models", "sentencepiece": {"vocab-size": 80}}
    assert "text.vocabulary = models: text.sentencepiece trains another" in refusal(write_study, given)
    del given["text"]["sentencepiece"]
    plan = plan_of(given, write_study)
    assert not plan.of_stage("sentencepiece")
    (encode,) = plan.of_stage("encode")
    assert encode.needs == ["clean/text"]
    words = resolve(StudyFolder(Path("out")), plan, encode)
    folder = Path(plan.source_folder) / "models"
    assert (value_of(words, "model"), value_of(words, "dictionary")) == (
        str(folder / "sentencepiece.model"), str(folder / "dict.txt"),
    )  # fmt: skip


def test_settings_of_the_command_line_name_checkpoints_too(both: dict[str, Any], write_study: Write) -> None:
    path = write_study(both)
    settings = ["pretraining=null", "checkpoints[1].file=other.pt", "finetuning.baseline=false"]
    study = load_study(path, settings)
    assert [one.checkpoint for one in study.starts()] == ["mt5-small", "mt5-base"]
    assert study.checkpoints[1].file == Path("other.pt")
    with pytest.raises(ScalingError, match=r"^--set checkpoints\[0\]\.name=\.\.: checkpoints\[0\]\.name: name = "):
        load_study(path, ["checkpoints[0].name=.."])


def test_the_json_schema_allows_what_the_study_allows(given: dict[str, Any], both: dict[str, Any]) -> None:
    schema = jsonschema.Draft202012Validator(study_schema())
    for study in (given, both, {**given, "pretraining": None}):
        assert [error.message for error in schema.iter_errors(study)] == []
    for wrong in ({"name": "a/b", "file": "x"}, {"name": "a"}, {"name": "a", "file": "x", "more": 1}):
        assert not schema.is_valid({**given, "checkpoints": [wrong]}), wrong


def test_missing_files_are_named_at_once_with_setting_value_and_remedy(
    given: dict[str, Any], write_study: Write, tmp_path: Path, fakes: Fakes
) -> None:
    given["text"] = {"source": "files", "languages": ["en", "fr"], "pairs": ["en-fr"], "vocabulary": "models"}
    del given["corpus"]
    (tmp_path / "models/base.pt").unlink()
    (tmp_path / "models/dict.txt").write_text("a 1\nb 1\n")
    study = write_study(given)
    with pytest.raises(DataError) as caught:
        check_given(load_study(study))
    message = str(caught.value)
    assert f"checkpoints[1].file = models/base.pt: there is no file {tmp_path}/models/base.pt" in message
    assert "scaling-convert from-hf" in message
    assert f"text.vocabulary = models: no sentencepiece.model in {tmp_path}/models\n" in message
    assert "small" not in message
    for command in ("plan", "run"):
        result = fakes.run(command, study, "--out", tmp_path / "out")
        assert (result.returncode, message in result.stderr) == (2, True), result.stderr
    assert fakes.started() == []
    (tmp_path / "models/sentencepiece.model").touch()
    save(tmp_path / "models/base.pt", "base")
    check_given(load_study(study))
    assert given_rows(load_study(study)) == 4 + 2


def test_the_example_of_the_plugin_guide_is_a_study(write_study: Write) -> None:
    guide = (Path(__file__).parents[3] / "docs/plugin.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", guide, re.S)
    plan = make_plan(load_study(write_study(example)))
    assert {job.stage for job in plan.jobs} == {"fetch", "clean", "encode", "finetune", "translate", "score", "fit"}
    assert len(plan.of_stage("finetune")) == 2 * 2 * 2


def test_files_that_scoring_and_fitting_name_begin_at_the_folder_of_study_yaml_and_must_be_there(
    given: dict[str, Any], write_study: Write, tmp_path: Path
) -> None:
    given |= {"scoring": {"metrics": "comet", "comet_model": "comet/model.ckpt"}, "fitting": {"mapping": "runs.csv"}}
    study = load_study(write_study(given))
    with pytest.raises(DataError) as caught:
        check_given(study)
    message = str(caught.value)
    assert f"scoring.comet-model = comet/model.ckpt: there is no file {tmp_path}/comet/model.ckpt\n" in message
    assert f"fitting.mapping = runs.csv: there is no file {tmp_path}/runs.csv\n" in message
    save(tmp_path / "comet/model.ckpt", "comet")
    (tmp_path / "runs.csv").touch()
    check_given(study)
    plan, folder = make_plan(study), StudyFolder(tmp_path / "out")
    score, fit, tune = (plan.of_stage(stage)[0] for stage in ("score", "fit", "finetune"))
    assert value_of(resolve(folder, plan, score), "comet-model") == str(tmp_path / "comet/model.ckpt")
    assert value_of(resolve(folder, plan, fit), "mapping") == str(tmp_path / "runs.csv")
    assert not [word for job in plan.jobs for word in job.argv if str(tmp_path) in word]
    # Its content decides, and for the scores alone.
    before = [decided_by(plan, job) for job in (score, tune)]
    save(tmp_path / "comet/model.ckpt", "another comet")
    after = [decided_by(plan, job) for job in (score, tune)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]
    given["fitting"]["mapping"] = "{mixture}/*.log"
    plan = plan_of(given, write_study)
    assert value_of(resolve(folder, plan, plan.of_stage("fit")[0]), "mapping") == "{mixture}/*.log"


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_every_checkpoint_is_finetuned_on_every_task_size_and_seed(given: dict[str, Any], write_study: Write) -> None:
    given["finetuning"] |= {"seeds": [1, 2, 3], "finetune_tokens": ["0.1M", "0.2M"], "tasks": ["en-fr", "fr-en"]}
    plan = plan_of(given, write_study)
    runs = 2 * 2 * 3 * (2 + 1)
    assert {job.stage: len(plan.of_stage(job.stage)) for job in plan.jobs} == {
        "finetune": runs, "translate": runs, "score": runs, "fit": 1,
    }  # fmt: skip
    starts = {
        job.run: value_of(job.argv, "finetune-from-model") for job in plan.of_stage("finetune") if "mt5" in job.id
    }
    assert starts["fr-en/100k/checkpoints/mt5-base/seed2"] == "{checkpoint:mt5-base}"
    assert {run.split("/")[3] == start[12:-1] for run, start in starts.items()} == {True}
    assert all(not job.needs and "upstream" not in " ".join(job.argv) for job in plan.of_stage("finetune"))
    (fit,) = plan.of_stage("fit")
    assert {word for word in fit.argv if word.startswith("finetuning/")} == {
        job.folder for job in plan.of_stage("finetune")
    }
    assert "alignment.json" not in fit.argv
    assert Plan.from_json(plan.to_json()) == plan


def test_checkpoints_stand_beside_pretraining_and_change_none_of_its_runs(
    both: dict[str, Any], write_study: Write
) -> None:
    plan = plan_of(both, write_study)
    alone = plan_of({**both, "checkpoints": []}, write_study)
    added = {job.id for job in plan.jobs} - {job.id for job in alone.jobs}
    assert added == {
        f"{stage}/en-fr/200k/checkpoints/mt5-{name}/seed1"
        for stage in ("finetune", "translate", "score")
        for name in ("small", "base")
    }
    for job in alone.jobs:
        if job.stage != "fit":
            assert plan.by_id[job.id] == job


def test_words_name_no_folder_of_this_machine(given: dict[str, Any], write_study: Write, tmp_path: Path) -> None:
    given["checkpoints"][0]["file"] = str(tmp_path / "models/small.pt")
    plan = plan_of(given, write_study)
    assert not [word for job in plan.jobs for word in job.argv if str(tmp_path) in word]
    words = resolve(StudyFolder(tmp_path / "out"), plan, plan.by_id["finetune/en-fr/200k/checkpoints/mt5-small/seed1"])
    assert value_of(words, "finetune-from-model") == str(tmp_path / "models/small.pt")
    assert value_of(words, "start-name") == "mt5-small"


def test_flags_and_learning_rates_can_be_those_of_one_checkpoint(given: dict[str, Any], write_study: Write) -> None:
    given["finetuning"] |= {
        "learning_rates": {"grid": ["1e-3", "1e-4"]},
        "baseline": {"fairseq": {"lr": "3e-3"}},
        "overrides": [{"checkpoint": "mt5-base", "updates": 7, "fairseq": {"lr": "5e-4"}}],
    }
    plan = plan_of(given, write_study)
    runs = {job.run.split("/")[-2]: job.argv for job in plan.reported("finetune")}
    assert {name: value_of(words, "lr") for name, words in runs.items()} == {
        "baseline": "3e-3", "mt5-base": "5e-4",
        "mt5-small": "{chosen:.study/candidates/finetuning/en-fr/200k/checkpoints/mt5-small/learning_rate}",
    }  # fmt: skip
    assert [value_of(runs[name], "max-update") for name in ("mt5-small", "mt5-base")] == ["100", "7"]
    given["finetuning"]["overrides"][0]["checkpoint"] = "mt5-bsae"
    assert "{'checkpoint': 'mt5-bsae'}: no run meets this" in refusal(write_study, given)


def test_the_price_of_a_finetuning_is_that_of_the_vocabulary_it_is_given(
    given: dict[str, Any], write_study: Write
) -> None:
    study = load_study(write_study(given))
    small, large = (make_plan(study, rows) for rows in (1000, 250_000))
    shape = pricing.shape_of(study, 250_000)
    assert shape is not None
    for plan in (small, large):
        costs = {(job.work, job.kept, job.tokens) for job in plan.of_stage("finetune")}
        assert len(costs) == 1, "a checkpoint costs what the baseline does"
    job = large.of_stage("finetune")[0]
    assert job.kept == pricing.checkpoint_bytes(shape, {"optimizer": "t5_adafactor"})
    assert job.work.flops > small.of_stage("finetune")[0].work.flops


# -- running -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(both: dict[str, Any], write_study: Write, fakes: Fakes, tmp_path: Path) -> Path:
    """The study.yaml of a finished study, which lies in ``out`` beside it."""
    study = write_study(both)
    result = fakes.run("run", study, "--out", tmp_path / "out", "--cores", "2")
    assert result.returncode == 0, result.stderr
    assert kinds(fakes.started())["fairseq-train"] == 2 + 2 + 2 + 1
    return study


def test_a_changed_checkpoint_does_again_what_starts_from_it_and_nothing_else(
    finished: Path, fakes: Fakes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    log = out / "finetuning/en-fr/200k/checkpoints/mt5-base/seed1/train.log"
    # The same content elsewhere, and written anew, changes nothing.
    shutil.move(tmp_path / "models", tmp_path / "moved")
    save(tmp_path / "moved/base.pt", "base")
    moved = [f"--set=checkpoints[{i}].file=moved/{name}.pt" for i, name in enumerate(("small", "base"))]
    assert "nothing to do" in fakes.run("run", finished, "--out", out, *moved).stdout
    assert fakes.started() == []
    save(tmp_path / "moved/base.pt", "another base")
    result = fakes.run("run", finished, "--out", out, *moved)
    assert result.returncode == 0, result.stderr
    started = fakes.started()
    assert [line.split()[0] for line in started] == [
        "fairseq-train", "fairseq-generate", "score-translations", "fit-scaling",
    ]  # fmt: skip
    assert all("checkpoints/mt5-base/" in line for line in started[:3])
    assert "Loaded" not in log.read_text(), "it must not go on from a model that began as another"


def test_another_vocabulary_encodes_again_and_a_further_checkpoint_runs_alone(
    finished: Path, both: dict[str, Any], write_study: Write, fakes: Fakes, tmp_path: Path
) -> None:
    save(tmp_path / "models/large.pt", "large")
    both["checkpoints"].append({"name": "mt5-large", "file": "models/large.pt"})
    assert fakes.run("run", write_study(both), "--out", tmp_path / "out").returncode == 0
    assert kinds(fakes.started()) == {
        "fairseq-train": 1, "fairseq-generate": 1, "score-translations": 1, "fit-scaling": 1,
    }  # fmt: skip
    both["text"] = {"source": "files", "languages": ["de", "en", "fr"], "pairs": ["en-fr"], "vocabulary": "models"}
    del both["corpus"]
    for name in ("dict.txt", "sentencepiece.model"):
        (tmp_path / "models" / name).write_text("a 1\n")
    plan = plan_of(both, write_study)
    (encode,) = plan.of_stage("encode")
    before = decided_by(plan, encode)
    (tmp_path / "models/dict.txt").write_text("b 1\n")
    assert decided_by(plan, encode) != before


def test_cleaning_leaves_given_checkpoints_and_an_archive_names_them_by_content(
    finished: Path, fakes: Fakes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    log = out / "finetuning/en-fr/200k/checkpoints/mt5-small/seed1/generate.log"
    log.write_text(f"{log.read_text()}from {tmp_path}/models/small.pt\n")
    assert fakes.run("clean", "--out", out, "--yes", "--pretrained").returncode == 0
    assert not list(out.rglob("*.pt"))
    assert (tmp_path / "models/small.pt").exists()
    assert "nothing to do" in fakes.run("run", finished, "--out", out).stdout
    result = fakes.run("export", finished, "--out", out, "--archive", tmp_path / "a.tar.gz", "--weights")
    assert result.returncode == 0, result.stderr
    shutil.unpack_archive(tmp_path / "a.tar.gz", tmp_path / "unpacked")
    root = tmp_path / "unpacked/small"
    assert not [path for path in root.rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()]
    assert (root / log.relative_to(out)).read_text().endswith("from {checkpoint:mt5-small}\n")
    named = json.loads((root / "given.json").read_text())["{checkpoint:mt5-small}"]
    assert (named["file"], len(named["sha256"])) == ("small.pt", 64)
    assert "given.json" in (root / "README.txt").read_text()


def test_a_mixture_that_is_settled_takes_no_checkpoint_along(both: dict[str, Any], write_study: Write) -> None:
    plan = plan_of(both, write_study)
    dropped = {job.id for job in plan.jobs} - {job.id for job in limited(plan, {"de:1": 1}).jobs}
    tuned = {f"{stage}/en-fr/200k/de1/seed1/2M/seed1" for stage in ("finetune", "translate", "score")}
    assert dropped == tuned | {"pretrain/de1/seed1/2M"}


def test_a_sequential_run_has_nothing_to_stop_among_checkpoints_and_a_study_without_a_law_is_done(
    given: dict[str, Any], write_study: Write, fakes: Fakes, tmp_path: Path
) -> None:
    study, out = write_study(given), tmp_path / "out"
    result = fakes.run("run", study, "--out", out, "--sequential", FAKE_FIT_CODE="3")
    assert result.returncode == 0, result.stderr
    assert kinds(fakes.started()) == {
        "fairseq-train": 3, "fairseq-generate": 3, "score-translations": 3, "fit-scaling": 1,
    }  # fmt: skip
    assert "nothing to do" in fakes.run("run", study, "--out", out).stdout
    assert "100% done, 10 of 10 jobs" in fakes.run("status", "--out", out).stdout
