"""Anybody's table: what its columns are taken for, and what is asked where that cannot be known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairseq_scaling.errors import SettingError
from fairseq_scaling.problems import count_problems
from fairseq_scaling.report.points import Point
from fairseq_scaling.report.points.curves import collect
from fairseq_scaling.report.points.doubts import TableProblem
from fairseq_scaling.report.points.roles import ColumnProblem, TableOptions, without_unit
from fairseq_scaling.report.points.tables import RowProblem, Table, is_known_table, read_table

SIZES = (1_000_000, 2_000_000, 4_000_000)


def read(tmp_path: Path, text: str, options: TableOptions | None = None, name: str = "scores.csv") -> Table:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_table(path, name, options)


def rows(*templates: str) -> str:
    """Return the rows of the templates, for each of three sizes: ``{d}`` is the size, ``{i}`` its number."""
    return "".join(template.format(d=d, i=i) + "\n" for template in templates for i, d in enumerate(SIZES))


def sizes(table: Table) -> list[float]:
    return [point.pretrain_tokens for point in table.points]


def kinds(table: Table) -> list[object]:
    return [problem.kind for problem in table.problems]


@pytest.mark.parametrize(
    ("column", "quantity"),
    [
        ("tokens", "pretrain_tokens"), ("n_tokens", "pretrain_tokens"), ("train_tokens", "pretrain_tokens"),
        ("Tokens seen", "pretrain_tokens"), ("D", "pretrain_tokens"), ("D_p", "pretrain_tokens"),
        ("size", "pretrain_tokens"), ("Dataset Size", "pretrain_tokens"), ("steps", "updates"), ("Step", "updates"),
        ("trainer/global_step", "updates"), ("num_updates", "updates"), ("seen_examples", "examples"),
        ("epoch", "epochs"), ("n_params", "parameters"), ("Training FLOP", "flops"), ("D_f", "finetune_tokens"),
    ],
)  # fmt: skip
def test_the_x_axis_is_known_by_the_names_people_give_it(tmp_path: Path, column: str, quantity: str) -> None:
    table = read(tmp_path, f"{column},bleu\n" + rows("{d},1{i}.5"))
    assert table.problems == []
    assert sizes(table) == list(SIZES)
    assert {point.quantity.name for point in table.points} == {quantity}


@pytest.mark.parametrize(
    ("column", "metric", "lower", "test_set"),
    [
        ("bleu", "bleu", False, ""), ("sacreBLEU", "bleu", False, ""), ("eval_loss", "loss", True, "eval"),
        ("acc", "accuracy", False, ""), ("val/ppl", "perplexity", True, "val"), ("CE", "cross_entropy", True, ""),
        ("newstest2014 BLEU", "bleu", False, "newstest2014"), ("acc,none", "accuracy", False, ""),
        ("BLEU (mean)", "bleu", False, ""), ("BLEU (en-de)", "bleu", False, "en_de"),
    ],
)  # fmt: skip
def test_scores_are_known_by_the_names_people_give_them(
    tmp_path: Path, column: str, metric: str, lower: bool, test_set: str
) -> None:
    table = read(tmp_path, f'tokens,"{column}"\n' + rows("{d},0.{i}5" if metric == "accuracy" else "{d},{i}.9"))
    assert {(p.metric, p.lower_is_better, p.test_set) for p in table.points} == {(metric, lower, test_set)}


def test_what_was_taken_for_what_is_said(tmp_path: Path) -> None:
    table = read(tmp_path, "model,steps,tokens,BLEU\n" + rows("base,{i},{d},1{i}.5"))
    assert table.roles is not None
    assert not table.roles.is_own
    assert table.roles.sentence() == "pretraining tokens = tokens, bleu = BLEU, curve = model"
    assert [(p.curve, p.pretrain_tokens, p.value) for p in table.points[:1]] == [("base", 1e6, 10.5)]
    assert kinds(table) == [ColumnProblem.NOT_READ]


def test_of_this_tools_own_columns_nothing_is_guessed(tmp_path: Path) -> None:
    table = read(tmp_path, "curve,metric,pretrain_tokens,value,kind,note\n" + rows("c,bleu,{d},1{i}.5,fitted,x"))
    assert table.roles is not None
    assert table.roles.is_own
    assert [problem.message for problem in table.problems] == ["columns that are not read: note"]


def test_a_table_with_a_column_for_each_metric(tmp_path: Path) -> None:
    table = read(tmp_path, "tokens,bleu,chrf,eval_loss\n" + rows("{d},1{i}.5,4{i}.5,2.{i}"))
    assert [point.metric for point in table.points[:3]] == ["bleu", "chrf", "loss"]
    assert len(table.points) == 9


def test_an_empty_cell_of_a_wide_table_is_counted_and_the_others_of_its_row_stay(tmp_path: Path) -> None:
    table = read(tmp_path, "tokens,bleu,chrf\n" + rows("{d},1{i}.5,4{i}.5") + "8000000,,44\n")
    assert [point.metric for point in table.points] == ["bleu", "chrf"] * 3 + ["chrf"]
    assert kinds(table) == [RowProblem.NO_VALUE]


def test_an_export_of_wandb(tmp_path: Path) -> None:
    header = '"Step","small - eval/bleu","small - eval/bleu__MIN","small - eval/bleu__MAX","big - eval/bleu"'
    table = read(tmp_path, header + "\n" + rows('"{d}","1{i}","1{i}","1{i}","2{i}"'))
    assert {(p.curve, p.metric, p.test_set, p.quantity.name) for p in table.points} == {
        ("small", "bleu", "eval", "updates"),
        ("big", "bleu", "eval", "updates"),
    }
    assert len(table.points) == 6


def test_a_table_of_lm_eval(tmp_path: Path) -> None:
    header = "Tasks,Version,Filter,n-shot,Metric,Value,Stderr,tokens"
    table = read(
        tmp_path, header + "\n" + rows("piqa,1,none,0,acc,0.{i}5,0.004,{d}", "piqa,1,none,0,acc_norm,0.{i}6,,{d}")
    )
    assert {(p.metric, p.test_set, p.curve, p.stderr) for p in table.points} == {
        ("accuracy", "piqa", "scores", 0.004),
        ("accuracy_norm", "piqa", "scores", None),
    }


def test_standard_errors_are_those_of_the_column_beside_them(tmp_path: Path) -> None:
    wide = read(tmp_path, "tokens,acc,acc_stderr,f1,f1_stderr\n" + rows("{d},0.{i}5,0.01,0.{i}6,0.02"))
    assert {(p.metric, p.stderr) for p in wide.points} == {("accuracy", 0.01), ("f1", 0.02)}
    alone = read(tmp_path, "tokens,bleu,stderr\n" + rows("{d},1{i},0.3"))
    assert {point.stderr for point in alone.points} == {0.3}
    behind = read(tmp_path, "tokens,bleu\n" + rows("{d},1{i} \u00b1 0.3"))
    assert {point.stderr for point in behind.points} == {0.3}
    whose = read(tmp_path, "tokens,bleu,chrf,stderr\n" + rows("{d},1{i},3{i},0.3"))
    assert {point.stderr for point in whose.points} == {None}
    assert [problem.message for problem in whose.problems] == ["columns that are not read: stderr"]


def test_a_spreadsheet_with_german_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, "Tokens;Modell;BLEU\n1.000.000;klein;12,5\n250.000;klein;11,75\n2.000.000;klein;13\n")
    assert [(p.pretrain_tokens, p.value, p.curve) for p in table.points] == [
        (1e6, 12.5, "klein"), (250_000.0, 11.75, "klein"), (2e6, 13.0, "klein"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tokens,bleu\n\"250,000\",12.5\n\"500,000\",13.5\n", [(250_000, 12.5), (500_000, 13.5)]),
        ("tokens;bleu\n250.000;12\n500.000;13\n", [(250_000, 12.0), (500_000, 13.0)]),
        ("tokens;loss\n1e6;2,345\n2e6;2,123\n", [(1e6, 2.345), (2e6, 2.123)]),
        ("tokens,loss\n1e6,2.345\n2e6,2.123\n", [(1e6, 2.345), (2e6, 2.123)]),
        ("tokens\tbleu\n1.5B\t12\n300M\t11\n", [(1.5e9, 12.0), (3e8, 11.0)]),
    ],
)  # fmt: skip
def test_thousands_and_decimals_are_told_apart(tmp_path: Path, text: str, expected: list[tuple[float, float]]) -> None:
    assert [(p.pretrain_tokens, p.value) for p in read(tmp_path, text).points] == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [("tokens (B)", 1e9), ("tokens [in millions]", 1e6), ("tokens_M", 1e6), ("D_in_billions", 1e9), ("D (Mio.)", 1e6)],
)  # fmt: skip
def test_a_unit_in_the_header_counts(tmp_path: Path, header: str, size: float) -> None:
    table = read(tmp_path, f"{header};bleu\n1;10\n2;11\n500;12\n")
    assert sizes(table) == [size, 2 * size, 500 * size]


def test_a_unit_of_the_cell_goes_before_that_of_the_header(tmp_path: Path) -> None:
    assert sizes(read(tmp_path, "tokens (B),bleu\n300M,10\n1,11\n")) == [3e8, 1e9]
    assert without_unit("BLEU (en-de)") == ("BLEU (en-de)", 1.0)


@pytest.mark.parametrize("text", ["tokens,acc (%)\n" + rows("{d},2{i}.5"), "tokens,acc\n" + rows("{d},2{i}.5%")])
def test_per_cent_signs_say_the_scale(tmp_path: Path, text: str) -> None:
    assert [point.value for point in read(tmp_path, text).points] == pytest.approx([0.205, 0.215, 0.225])


def test_the_scale_is_what_the_user_says_and_never_guessed(tmp_path: Path) -> None:
    text = "tokens,acc\n" + rows("{d},2{i}.5")
    assert {point.scale for point in read(tmp_path, text).points} == {None}
    said = read(tmp_path, text, TableOptions(scales={"accuracy": 100.0}))
    assert {(point.scale, point.metric) for point in said.points} == {(100.0, "accuracy")}


def test_scores_that_all_lie_below_1_are_asked_about(tmp_path: Path) -> None:
    text = "tokens,bleu\n" + rows("{d},0.1{i}")
    with pytest.raises(SettingError, match="--scale bleu=1 if these are shares, --scale bleu=100 if they are points"):
        read(tmp_path, text)
    for scale in (1.0, 100.0):
        assert read(tmp_path, text, TableOptions(scales={"bleu": scale})).problems == []


def test_columns_of_text_that_tell_curves_apart_name_them(tmp_path: Path) -> None:
    header = "date,model,task,checkpoint,tokens,bleu\n"
    table = read(tmp_path, header + rows("day{i},base,mt,ck{i},{d},1{i}", "noon{i},big,mt,ck{i},{d},2{i}"))
    assert list(dict.fromkeys(point.curve for point in table.points)) == ["base", "big"]


def test_a_name_for_each_row_names_no_curve(tmp_path: Path) -> None:
    table = read(tmp_path, "run,tokens,bleu\n" + rows("run-{i},{d},1{i}"))
    assert {point.curve for point in table.points} == {"scores"}


def test_languages_seeds_and_mixtures_of_foreign_tables(tmp_path: Path) -> None:
    header = "tokens,random_seed,mix,lang_pair,bleu,d_f\n"
    table = read(tmp_path, header + rows('{d},s3,"fr:0.5,en:0.5",en-fr,1{i},200k'))
    one = table.points[0]
    assert (one.seed, one.mixture, one.task, one.finetune_tokens) == (3, "en:0.5,fr:0.5", "en-fr", 200_000)
    labels = read(tmp_path, "tokens,mixture,bleu\n" + rows("{d},half and half,1{i}"))
    assert {(point.curve, point.mixture) for point in labels.points} == {("half and half", "")}


# What the user says.


def test_columns_are_what_the_user_says(tmp_path: Path) -> None:
    options = TableOptions({"pretrain_tokens": "a*1e9", "bleu": "b", "curve": "m+n", "seed": "4"})
    table = read(tmp_path, "a,b,m,run,n\n1,10.5,x,7,y\n2,11.5,x,8,y\n", options)
    assert [(p.pretrain_tokens, p.metric, p.value, p.curve, p.seed) for p in table.points] == [
        (1e9, "bleu", 10.5, "x / y", 7), (2e9, "bleu", 11.5, "x / y", 8),
    ]  # fmt: skip


def test_the_value_column_may_bear_the_name_of_its_metric(tmp_path: Path) -> None:
    table = read(tmp_path, "tokens,bleu,ter\n" + rows("{d},1{i},5{i}"), TableOptions({"value": "bleu"}))
    assert {point.metric for point in table.points} == {"bleu"}


@pytest.mark.parametrize(
    ("x", "title", "expected"),
    [
        ("finetune_tokens", "finetuning tokens", [1e5, 2e5, 4e5]), ("parameters", "parameters", [25e6] * 3),
        ("steps", "updates", [0, 1, 2]), ("flops", "FLOPs", [1e18, 2e18, 4e18]), ("layers", "layers", [6, 7, 8]),
    ],
)  # fmt: skip
def test_any_quantity_can_be_on_the_x_axis(tmp_path: Path, x: str, title: str, expected: list[float]) -> None:
    text = "tokens,finetune_tokens,params,step,flops,layers,bleu\n" + "".join(
        f"{d},{d // 10},25M,{i},{d}e12,{6 + i},1{i}\n" for i, d in enumerate(SIZES)
    )
    table = read(tmp_path, text, TableOptions(x=x))
    assert sizes(table) == expected
    assert {point.quantity.title for point in table.points} == {title}


def test_a_quantity_of_its_own_need_not_be_a_count(tmp_path: Path) -> None:
    assert sizes(read(tmp_path, "dropout,bleu\n0.1,10\n0.2,9\n", TableOptions(x="dropout"))) == [0.1, 0.2]


# What is asked.


def question(tmp_path: Path, text: str, options: TableOptions | None = None) -> tuple[object, str]:
    table = read(tmp_path, text, options)
    assert table.points == []
    (problem,) = table.problems
    return problem.kind, problem.message


def test_unknown_columns_are_listed_with_a_command_that_works(tmp_path: Path) -> None:
    kind, message = question(tmp_path, "a,b\n" + rows("{d},1{i}"))
    assert kind is ColumnProblem.NO_X
    assert "the columns are a, b" in message
    assert message.endswith("fit-scaling scores.csv --columns pretrain_tokens=a,bleu=b")
    table = read(tmp_path, "a,b\n" + rows("{d},1{i}"), TableOptions({"pretrain_tokens": "a", "bleu": "b"}))
    assert len(table.points) == 3


def test_a_column_of_scores_without_a_metric_is_asked_about(tmp_path: Path) -> None:
    kind, message = question(tmp_path, "tokens,score\n" + rows("{d},1{i}"))
    assert kind is ColumnProblem.NO_METRIC
    assert "--columns pretrain_tokens=tokens,bleu=score" in message


def test_two_columns_that_may_be_the_x_axis_are_asked_about(tmp_path: Path) -> None:
    kind, message = question(tmp_path, "n_tokens,train_tokens,bleu\n" + rows("{d},{d},1{i}"))
    assert kind is ColumnProblem.SEVERAL_X
    assert "n_tokens and train_tokens" in message
    kind, message = question(tmp_path, "Model Size,Training FLOP,loss\n" + rows("{d},{d}e9,{i}"))
    assert kind is ColumnProblem.SEVERAL_X
    assert "--columns 'x=Model Size'" in message


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    kind, message = question(tmp_path, "tokens,bleu\n" + rows("{d},1{i}"), TableOptions({"seed": "replica"}))
    assert kind is ColumnProblem.NO_SUCH_COLUMN
    assert "names replica" in message
    assert "tokens, bleu" in message


def test_a_quantity_that_is_not_there_is_asked_about(tmp_path: Path) -> None:
    kind, message = question(tmp_path, "tokens,width,bleu\n" + rows("{d},5,1{i}"), TableOptions(x="parameters"))
    assert kind is ColumnProblem.NO_X
    assert "parameters" in message


# What cannot be.


def test_sizes_below_one_token_are_named_with_the_factor_that_mends_them(tmp_path: Path) -> None:
    text = "tokens,bleu\n0.25,10\n0.5,11\n"
    kind, message = kinds(read(tmp_path, text))[0], read(tmp_path, text).problems[0].message
    assert kind is RowProblem.BELOW_ONE
    assert "--columns 'pretrain_tokens=tokens*1e9'" in message
    assert sizes(read(tmp_path, text, TableOptions({"pretrain_tokens": "tokens*1e9"}))) == [2.5e8, 5e8]


@pytest.mark.parametrize("joint", ["", "tokens,bleu\n"])
def test_a_table_that_holds_itself_twice_counts_once(tmp_path: Path, joint: str) -> None:
    body = rows("{d},1{i}.5")
    table = read(tmp_path, "tokens,bleu\n" + body + joint + body)
    assert len(table.points) == 3
    assert kinds(table).count(TableProblem.TWICE) == 3


def test_equal_values_of_two_runs_are_repeats_unless_their_seed_is_one(tmp_path: Path) -> None:
    text = rows("{d},1{i}.5") + "1000000,10.5\n8000000,13.5\n"
    assert len(read(tmp_path, "tokens,bleu\n" + text).points) == 5
    seeded = read(tmp_path, "tokens,bleu,seed\n" + text.replace("\n", ",1\n"))
    assert len(seeded.points) == 4
    assert kinds(seeded) == [TableProblem.TWICE]


def test_a_missing_direction_is_one_message_with_its_remedy(tmp_path: Path) -> None:
    text = "curve,metric,pretrain_tokens,value\n" + "".join(f"c,latency,{1000 + i},{i / 7}\n" for i in range(1398))
    table = read(tmp_path, text)
    (counted,) = count_problems(table.problems)
    assert counted.message == (
        "whether a lower latency is better is not known: 1398 lines; "
        "add the column lower_is_better, or --better latency=lower"
    )
    said = read(tmp_path, text, TableOptions(lower_is_better={"latency": True}))
    assert (len(said.points), said.points[0].lower_is_better) == (1398, True)


def test_zeros_and_negative_values_are_points(tmp_path: Path) -> None:
    table = read(tmp_path, "tokens,bleu,comet\n1000,0.0,-0.8\n2000,0,-0.1\n4000,2.5,0.3\n")
    assert [point.value for point in table.points] == [0.0, -0.8, 0.0, -0.1, 2.5, 0.3]
    assert table.problems == []


def test_only_files_whose_columns_can_be_told_are_tables(tmp_path: Path) -> None:
    for name, text, known in (
        ("scores.txt", "tokens,bleu\n1000,5\n", True),
        ("mapping.csv", "path,pretrain_tokens,mixture\na.log,1000,en:1\n", False),
        ("train.log", "2020-05-01 00:00:00 | INFO | fairseq_cli.train | loss 5 | bleu 3\n" * 5, False),
        ("generate.txt", "S-0\tein Satz\nH-0\t-0.5\ta sentence\nD-0\t-0.5\ta sentence\n", False),
    ):
        (tmp_path / name).write_text(text)
        assert is_known_table(tmp_path / name) == known


def test_a_point_carries_its_place_and_its_baseline_is_0(tmp_path: Path) -> None:
    table = read(tmp_path, "tokens,bleu\n0,2.5\n1000,5\n")
    assert table.points[0] == Point("bleu", 0.0, 2.5, "scores", file="scores.csv", line=2)


def test_a_metric_of_which_each_column_is_a_curve(tmp_path: Path) -> None:
    text = "tokens,base,large\n" + rows("{d},1{i},2{i}")
    kind, message = question(tmp_path, text)
    assert kind is ColumnProblem.NO_VALUES
    assert message.endswith("--columns pretrain_tokens=tokens,bleu=base+large")
    table = read(tmp_path, text, TableOptions({"pretrain_tokens": "tokens", "bleu": "base+large"}))
    assert [(p.curve, p.metric, p.value) for p in table.points[:2]] == [("base", "bleu", 10.0), ("large", "bleu", 20.0)]


def test_the_state_of_a_hugging_face_trainer(tmp_path: Path) -> None:
    logs = [{"step": d, "eval_loss": 3.5, "loss": None} for d in SIZES]
    table = read(tmp_path, json.dumps({"best_metric": None, "epoch": 3.0, "log_history": logs}), name="state.json")
    assert [(p.metric, p.test_set, p.quantity.name) for p in table.points] == [("loss", "eval", "updates")] * 3


def test_a_model_whose_name_is_a_number_names_a_curve(tmp_path: Path) -> None:
    table = read(tmp_path, "model,D,bleu\n" + rows("60M,{d},1{i}", "300M,{d},2{i}"))
    assert list(dict.fromkeys(point.curve for point in table.points)) == ["60M", "300M"]


def test_over_another_quantity_each_d_p_is_a_curve(tmp_path: Path) -> None:
    text = "finetune_tokens,pretrain_tokens,bleu\n" + rows("{d},1e9,1{i}", "{d},3B,2{i}", "{d},0,{i}")
    table = read(tmp_path, text, TableOptions(x="finetune_tokens"))
    assert [curve.name for curve in collect(table.points).curves] == [
        "scores / D_p=1B", "scores / D_p=3B", "scores / no pretraining",
    ]  # fmt: skip


def test_a_quantity_that_grows_with_x_tells_no_curves_apart(tmp_path: Path) -> None:
    table = read(tmp_path, "params,flops,loss\n" + rows("{i}5M,{d}e9,3.{i}"), TableOptions(x="flops"))
    assert {point.parameters for point in table.points} == {None}
    assert kinds(table) == [ColumnProblem.NOT_READ]
