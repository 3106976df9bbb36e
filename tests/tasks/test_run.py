from fairseq_scaling.tasks import _run

RUN = {
    "stage": "pretraining",
    "pretrain_tokens": 1000,
    "mixture": {"en": "1"},
    "seed": 1,
    "hyperparameters": {"lr": [0.01], "model": {"dropout": 0.1}},
    "finetune_tokens_used": 10,
}


def test_the_id_of_a_run_is_that_of_its_settings() -> None:
    first = _run.complete(RUN)
    assert first["run_id"] == _run.complete(dict(reversed(RUN.items())))["run_id"]
    for changed in (
        {"seed": 2},
        {"pretrain_tokens": 2000},
        {"mixture": {"en": "1/2", "fr": "1/2"}},
        {"hyperparameters": {"lr": [0.01], "model": {"dropout": 0.0}}},
    ):
        assert _run.complete({**RUN, **changed})["run_id"] != first["run_id"]


def test_the_versions_of_what_computes_a_run_are_named() -> None:
    import numpy
    import torch

    versions = _run.complete(RUN)["versions"]
    assert versions["numpy"] == numpy.__version__
    assert versions["torch"] == torch.__version__
    assert {"fairseq", "fairseq_scaling", "sacrebleu", "sentencepiece", "python"} <= set(versions)
