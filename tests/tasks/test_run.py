from fairseq_scaling.run import RunDescription, Stage
from fairseq_scaling.tasks import _run


def test_the_versions_of_what_computes_a_run_are_named() -> None:
    import numpy
    import torch

    described = _run.complete(RunDescription(Stage.PRETRAINING, seed=1))
    assert described.run_id == described.identity()
    assert described.versions["numpy"] == numpy.__version__
    assert described.versions["torch"] == torch.__version__
    assert {"fairseq", "fairseq_scaling", "sacrebleu", "sentencepiece", "python"} <= set(described.versions)
