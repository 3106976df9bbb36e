"""Logs as other people have them: other versions, forks, handlers, names, packings, interruptions."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
from pathlib import Path

import pytest

from fairseq_scaling.logs import LogProblem, Reading, RunRecord, read_runs
from fairseq_scaling.problems import ProblemKind
from tests.logs.samples import FAIRSEQ_0_9, GOLDEN, plugin_log, run_object, score_file
from tests.logs.stock import CONFIG, SAVED, STAMP, config, generate, train, valid

LN2 = math.log(2)


def write(folder: Path, **files: str) -> Reading:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return read_runs(folder)


def only(reading: Reading) -> RunRecord:
    assert len(reading.runs) == 1, reading
    return reading.runs[0]


def kinds(reading: Reading) -> set[ProblemKind]:
    return {problem.kind for problem in reading.problems}


# versions and forks


def test_a_dated_configuration_with_undated_records_is_read(tmp_path: Path) -> None:
    run = only(write(tmp_path, train__log=config() + valid(100, 5) + valid(200, 4, epoch=2)))
    assert run.extra["validations"] == [(100, "valid", pytest.approx(5 * LN2)), (200, "valid", pytest.approx(4 * LN2))]


@pytest.mark.parametrize(
    "stamp",
    [
        "2020-05-01T00:00:00Z INFO valid: ",
        "[2020-05-01 00:00:00] [INFO] ",
        "[1,0]<stdout>:2020-05-01 00:00:00 | INFO | valid | ",
        "0: 2020-05-01 00:00:00 | INFO | valid | ",
        "INFO:valid:",
        "May 01 00:00:00 node7 fairseq[123]: | ",
        "05/01/2020 00:00:00 - INFO - valid -   ",
        "2020-05-01 00:00:00,123 INFO valid ",
        "(rank 0) ",
    ],
)
def test_whatever_stands_before_a_record_it_is_read(stamp: str, tmp_path: Path) -> None:
    text = f"{stamp}{CONFIG % (SAVED, repr('de'))}\n{valid(100, 5, stamp=stamp)}{stamp}done training in 1.0 seconds\n"
    run = only(write(tmp_path, train__log=text))
    assert run.cross_entropies == {"valid": pytest.approx(5 * LN2)}
    assert (run.finished, run.seed, run.source_lang) == (True, 1, "de")


@pytest.mark.parametrize("escape", ["\x1b", "^[", "\\e", "\\033", "\\x1b"])
def test_colours_are_read_as_if_they_were_not_there(escape: str, tmp_path: Path) -> None:
    text = train(5, 4).replace("| INFO |", f"| {escape}[32mINFO{escape}[0m |")
    run = only(write(tmp_path, train__log=text.replace("loss", f"{escape}[1;31mloss{escape}[0m")))
    assert (run.cross_entropy, run.finished) == (pytest.approx(4 * LN2), True)


def test_records_without_updates_are_read_and_the_last_epoch_counts(tmp_path: Path) -> None:
    """As fairseq 0.5 printed them."""
    text = config(stamp="")
    for epoch, loss in ((1, 3.7), (2, 3.1)):
        ppl = f"{2**loss:.2f}"
        text += f"| epoch {epoch:03d} | valid on 'valid' subset  1000 / 1311 loss=3.24\n"
        text += f"| epoch {epoch:03d} | train loss {loss} | train ppl {ppl} | s/checkpoint    7748 | words/s    961\n"
        text += f"| epoch {epoch:03d} | valid on 'valid' subset | valid loss {loss} | valid ppl {ppl}\n"
    reading = write(tmp_path, train__log=text)
    assert only(reading).cross_entropy == pytest.approx(3.1 * LN2)
    assert not kinds(reading) & {LogProblem.CUT_OBJECT, LogProblem.CUT_NUMBER, LogProblem.TWO_VALUES}


@pytest.mark.parametrize(
    "line",
    [
        "| epoch 081 | valid on 'valid' subset | loss 6.846 | nll_loss 4.610 | ppl 24.41 | num_updates 10092 "
        "| best_loss 6.84",
        "| epoch 008 | valid on 'valid' subset | valid_loss 6.43844 | valid_nll_loss 4.61 | valid_ppl 24.42 "
        "| num_updates 21896 | best 6.43844",
        STAMP
        + "valid | epoch 143 | valid on 'valid' subset | loss 12.677 | nll_loss 4.61 | word_ins 12.459 | length 4.375 "
        "| ppl 24.42 | bleu 29.52 | wps 88225 | wpb 21176.3 | bsz 666.3 | num_updates 40297 | best_bleu 30.53",
        '[2022-01-18 05:43:26,995][valid][INFO] - {"epoch": 150, "valid_loss": "24.118", "valid_nll_loss": "4.61", '
        '"valid_uer": "7.599", "valid_num_updates": "20000", "valid_best_wer": "14.46"}',
        'epoch 005 | valid on "valid" subset | loss 6.846 | nll_loss 4.61 | ppl 24.42 | num_updates 27301',
    ],
)
def test_records_of_public_logs_are_read(line: str, tmp_path: Path) -> None:
    run = only(write(tmp_path, train__log=line + "\n"))
    assert run.cross_entropies == {"valid": pytest.approx(4.61 * LN2)}


def test_fairseq_validate_prints_its_record_without_an_epoch(tmp_path: Path) -> None:
    line = f"{STAMP}test |  | valid on 'test' subset | loss 4 | nll_loss 3.5 | ppl 11.31 | wps 0 | wpb 6.97654e+07\n"
    head = f"{STAMP}fairseq_cli.validate | Namespace(path='checkpoints/checkpoint_best.pt', task='translation')\n"
    run = only(write(tmp_path, train__log=train(5, 4), validate__log=head + line))
    assert run.cross_entropies == {"valid": pytest.approx(4 * LN2), "test": pytest.approx(3.5 * LN2)}


def test_a_handler_that_prints_each_line_twice_changes_nothing(tmp_path: Path) -> None:
    for name, log in (("stock", train(5, 4)), ("plugin", plugin_log(run_object(), {100: 5.0, 200: 4.0}))):
        once = "".join(line for line in log.splitlines(True))
        twice = "".join(line + line for line in log.splitlines(True))
        # the root handler prints in another form
        other = "".join(line + "INFO:" + ":".join(line.split(" | ", 3)[2:]) for line in log.splitlines(True))
        for number, text in enumerate((once, twice, other)):
            folder = tmp_path / f"{name}{number}"
            folder.mkdir()
            run = only(write(folder, train__log=text))
            assert (run.cross_entropy, run.finished) == (pytest.approx(4 * LN2), True), (name, number)
            assert not kinds(read_runs(folder)) - {LogProblem.LACKS, LogProblem.NO_SCORES}


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_are_line_ends(end: str, tmp_path: Path) -> None:
    (tmp_path / "train.log").write_bytes(train(5, 4).replace("\n", end).encode())
    assert only(read_runs(tmp_path)).cross_entropy == pytest.approx(4 * LN2)


# subsets and languages


@pytest.mark.parametrize(
    ("subset", "kind"),
    [("test", "test"), ("tst-COMMON_st", "test"), ("newstest2014", "test"), ("dev_st", "valid"), ("valid1", "valid"),
     ("eval", "test"), ("upstream_en", "other")],
)  # fmt: skip
def test_subsets_have_any_name(subset: str, kind: str, tmp_path: Path) -> None:
    reading = write(
        tmp_path, train__log=train(5, 4, subset="dev_st"), gen__txt=generate(20, subset, "checkpoints/x.pt")
    )
    run = only(reading)
    assert run.cross_entropy == pytest.approx(4 * LN2)
    assert run.subset_kinds[subset] == kind
    assert run.extra["scores_by_subset"][subset]["bleu"].value == 20
    assert LogProblem.NO_SCORES not in kinds(reading)


def test_a_set_of_another_name_on_which_training_was_validated_is_a_validation_set(tmp_path: Path) -> None:
    text = train(5, 4, subset="flores").replace("seed=1", "seed=1, valid_subset='flores'")
    assert only(write(tmp_path, train__log=text)).subset_kinds == {"flores": "valid"}


@pytest.mark.parametrize(
    "lines",
    [
        "fairseq.tasks.translation | [de] dictionary: 8848 types\n"
        "%sfairseq.tasks.translation | [en] dictionary: 6632 types",
        "x | [de] dictionary: 9 types\n%sx | [en] dictionary: 9 types\n%sx | [label0] dictionary: 9 types\n"
        "%sx | data-bin/x valid de-en 1999 examples",
        "fairseq.data.data_utils | loaded 7283 examples from: data-bin/valid.de-en.de\n"
        "%sfairseq.tasks.translation | data-bin/iwslt14 valid de-en 7283 examples",
    ],
)
def test_languages_come_from_dictionaries_and_data_where_the_configuration_has_none(lines: str, tmp_path: Path) -> None:
    head, rest = (
        train(5, 4).replace("source_lang='de', target_lang='en'", "source_lang=None, target_lang=None").split("\n", 1)
    )
    run = only(write(tmp_path, train__log=f"{head}\n{STAMP}{lines.replace('%s', STAMP)}\n{rest}"))
    assert (run.source_lang, run.target_lang) == ("de", "en")


# starts, restarts and interruptions


def test_a_start_that_trained_nothing_is_no_run(tmp_path: Path) -> None:
    began = f"{STAMP}fairseq.trainer | begin training epoch 3\n"
    loaded = f"{STAMP}fairseq.trainer | Loaded checkpoint checkpoints/checkpoint_last.pt (epoch 3 @ 200 updates)\n"
    for changed in ("seed=1", "seed=2"):
        again = config().replace("seed=1", changed) + loaded + began
        reading = write(
            tmp_path, train__log=train(5, 4) + again, gen__txt=generate(20, path="checkpoints/checkpoint_last.pt")
        )
        run = only(reading)
        assert (run.cross_entropy, run.scores["bleu"].value) == (pytest.approx(4 * LN2), 20)
        assert LogProblem.EMPTY_START in kinds(reading)


def test_a_start_that_failed_before_training_does_not_spoil_the_next(tmp_path: Path) -> None:
    failed = (
        config().replace("seed=1", "seed=9") + "Traceback (most recent call last):\nRuntimeError: CUDA out of memory\n"
    )
    reading = write(tmp_path, train__log=failed + train(5, 4))
    assert only(reading).cross_entropy == pytest.approx(4 * LN2)


def test_a_start_that_resumes_with_other_settings_is_the_same_run_and_the_settings_are_listed(tmp_path: Path) -> None:
    resumed = train(3, 2).replace("seed=1", "seed=1, lr=[0.5]").replace("num_updates 2", "num_updates 4")
    resumed = resumed.replace("num_updates 1", "num_updates 3").replace(
        "begin training epoch 1", "begin training epoch 3"
    )
    loaded = f"{STAMP}fairseq.trainer | Loaded checkpoint checkpoints/checkpoint_last.pt (epoch 3 @ 200 updates)\n"
    head, rest = resumed.split("\n", 1)
    first = train(5, 4, end=False).replace("seed=1", "seed=1, lr=[0.1]")
    reading = write(tmp_path, train__log=first + f"{head}\n{loaded}{rest}")
    assert [updates for updates, _, _ in only(reading).extra["validations"]] == [100, 200, 300, 400]
    assert LogProblem.OTHER_SETTINGS in kinds(reading)


def test_a_run_that_never_ended_has_its_losses_and_says_so(tmp_path: Path) -> None:
    reading = write(tmp_path, train__log=train(5, 4, end=False))
    assert (only(reading).finished, only(reading).cross_entropy) == (False, pytest.approx(4 * LN2))
    assert "--unfinished" in next(p for p in reading.problems if p.kind is LogProblem.UNFINISHED).message


def test_two_runs_that_nothing_tells_apart_name_the_column_that_does(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    table = tmp_path / "mapping.csv"
    table.write_text("path,pretrain_tokens\n*.log,1M\n")
    write(tmp_path / "logs", one__log=train(5, 4), two__log=train(5, 3))
    (problem,) = [p for p in read_runs(tmp_path / "logs", table).problems if p.kind is LogProblem.TWO_LOSSES][:1]
    assert "column run" in problem.message
    table.write_text("path,pretrain_tokens,run\none.log,1M,a\ntwo.log,1M,b\n")
    runs = read_runs(tmp_path / "logs", table).runs
    assert sorted(run.cross_entropy or 0 for run in runs) == [pytest.approx(3 * LN2), pytest.approx(4 * LN2)]


@pytest.mark.parametrize("layout", ["{run}/train.log {run}/eval/x/gen.log", "{run}/train.log {run}/gen.log"])
def test_a_score_belongs_to_the_training_above_or_beside_it_where_all_save_in_folders_of_one_name(
    layout: str, tmp_path: Path
) -> None:
    for run, loss in (("a", 4.0), ("b", 3.0)):
        log, generated = (tmp_path / "logs" / name for name in layout.format(run=run).split())
        generated.parent.mkdir(parents=True)
        log.write_text(train(5, loss))
        generated.write_text(generate(10 * loss, path="checkpoints/checkpoint_best.pt"))
    expected = [(pytest.approx(loss * LN2), 10 * loss) for loss in (3.0, 4.0)]
    for mapping in (None, "logs/{run}/**"):
        runs = read_runs(tmp_path / "logs", mapping).runs
        assert sorted((run.cross_entropy, run.scores["bleu"].value) for run in runs) == expected


# one checkpoint, one point


@pytest.mark.parametrize(
    ("path", "loss", "is_last"),
    [
        ("checkpoint_best.pt", 3.0, False),
        ("checkpoint_last.pt", 5.0, True),
        ("checkpoint1.pt", 4.0, False),
        ("checkpoint_2_200.pt", 3.0, False),
        ("averaged.pt", None, None),
    ],
)
def test_the_loss_of_the_checkpoint_that_was_scored_is_known(
    path: str, loss: float | None, is_last: bool | None, tmp_path: Path
) -> None:
    run = only(write(tmp_path, train__log=train(4, 3, 5), gen__txt=generate(20, path=f"checkpoints/{path}")))
    assert run.scored is not None
    assert (run.scored.name, run.scored.is_last) == (path, is_last)
    assert run.scored_cross_entropies == ({} if loss is None else {"valid": pytest.approx(loss * LN2)})
    assert run.cross_entropies == {"valid": pytest.approx(5 * LN2)}


@pytest.mark.parametrize("path", ["checkpoint_best.pt", "checkpoint_last.pt"])
def test_what_fairseq_validate_printed_is_of_the_checkpoint_that_it_was_given(path: str, tmp_path: Path) -> None:
    line = f"{STAMP}test |  | valid on 'test' subset | loss 4 | nll_loss 3.5 | ppl 11.31 | wps 0 | wpb 6.97654e+07\n"
    head = f"{STAMP}fairseq_cli.validate | Namespace(path='checkpoints/checkpoint_best.pt', task='translation')\n"
    scores = generate(20, path=f"checkpoints/{path}")
    run = only(write(tmp_path, train__log=train(3, 5), validate__log=head + line, gen__txt=scores))
    best = path == "checkpoint_best.pt"
    expected = {"valid": 3 * LN2, "test": 3.5 * LN2} if best else {"valid": 5 * LN2}
    assert run.scored_cross_entropies == pytest.approx(expected)


def test_the_best_checkpoint_is_fairseqs_best(tmp_path: Path) -> None:
    """By the metric of the configuration, on the first validation set; of equal ones the later."""
    text = train(4, 3, 5).replace("| ppl 16.00", "| ppl 16.00 | bleu 9").replace("| ppl 32.00", "| ppl 32.00 | bleu 9")
    text = text.replace("| ppl 8.00", "| ppl 8.00 | bleu 7")
    text = text.replace("seed=1", "seed=1, best_checkpoint_metric='bleu', maximize_best_checkpoint_metric=True")
    run = only(write(tmp_path, train__log=text, gen__txt=generate(20, path="checkpoints/checkpoint_best.pt")))
    assert run.scored is not None
    assert run.scored.updates == 300


def test_a_score_of_an_unknown_checkpoint_is_of_the_last_one_only_where_that_is_the_best(tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text("path,run\n*.log,a\n*.txt,a\n")
    for losses, is_last in (((5.0, 4.0), True), ((4.0, 5.0), None)):
        folder = tmp_path / str(is_last)
        folder.mkdir()
        write(folder, train__log=train(*losses), gen__txt=generate(20))
        scored = only(read_runs(folder, table)).scored
        assert scored is not None
        assert scored.is_last is is_last
    table.write_text("path,run,checkpoint\n*.log,a,\n*.txt,a,best\n")
    assert only(read_runs(folder, table)).scored_cross_entropies == {"valid": pytest.approx(4 * LN2)}


# files


@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_packed_logs_are_read(pack: object, ending: str, tmp_path: Path) -> None:
    (tmp_path / f"train.log.{ending}").write_bytes(pack(train(5, 4).encode()))  # type: ignore[operator]
    assert only(read_runs(tmp_path)).cross_entropy == pytest.approx(4 * LN2)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_log_that_was_cut_is_listed(pack: object, tmp_path: Path) -> None:
    packed = pack(train(*(5 - n / 1000 for n in range(300))).encode())  # type: ignore[operator]
    (tmp_path / "train.log.packed").write_bytes(packed[: len(packed) // 2])
    assert LogProblem.DAMAGED_ARCHIVE in kinds(read_runs(tmp_path))


@pytest.mark.parametrize("name", ["train.log.zst", "logs.tar.gz", "logs.zip", "train.log.lz4", "a.tgz"])
def test_what_is_packed_in_another_way_is_named_with_the_tool_that_unpacks_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x28\xb5\x2f\xfd\x00\x00" + bytes(range(256)))
    (problem,) = read_runs(tmp_path).problems
    assert problem.kind is LogProblem.PACKED
    assert problem.file.endswith(name)


def test_translations_without_a_score_are_said_to_need_score_translations(tmp_path: Path) -> None:
    lines = (GOLDEN / "generate-tokens.txt").read_text().splitlines(True)
    reading = write(tmp_path, gen__txt="".join(line for line in lines if line[:2] in ("S-", "T-", "H-", "D-", "P-")))
    (problem,) = reading.problems
    assert problem.kind is LogProblem.UNSCORED
    assert "score-translations" in problem.message


def test_translations_that_a_score_file_was_made_from_are_no_problem(tmp_path: Path) -> None:
    scores = score_file(run_object(), 12.0, hypotheses="gen.txt")
    reading = write(tmp_path, gen__txt="H-0\t-0.1\tun\nD-0\t-0.1\tun\n", scores__json=scores)
    assert kinds(reading) == set()


def test_a_rule_of_the_mapping_that_matches_nothing_is_listed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "map.csv").write_text("path,pretrain_tokens\ntrain.log,1M\nother/*.log,2M\n")
    (tmp_path / "logs" / "train.log").write_text(FAIRSEQ_0_9)
    unused = [
        p for p in read_runs(tmp_path / "logs", tmp_path / "map.csv").problems if p.kind is LogProblem.UNUSED_RULE
    ]
    assert [(p.fields["pattern"], p.line) for p in unused] == [("other/*.log", 3)]
    assert LogProblem.UNUSED_RULE in kinds(read_runs(tmp_path / "logs", "{mixture}/dp{pretrain_tokens}/*"))


def test_a_run_lacks_only_what_a_curve_needs(tmp_path: Path) -> None:
    reading = write(tmp_path, train__log=train(5, 4))
    (problem,) = [problem for problem in reading.problems if problem.kind is LogProblem.LACKS]
    assert problem.fields["missing"] == "pretrain_tokens"
