"""A corpus of a trillion tokens starts like a small one: nothing is stored, or gone through, that grows with it."""

import tracemalloc
from pathlib import Path

from fairseq_scaling.mixture import Mixture
from fairseq_scaling.tasks.scaling_pretraining import ScalingPretrainingConfig, ScalingPretrainingTask
from tests.benchmarks.sizes import write_sparse_corpus


def test_a_trillion_tokens_take_no_memory(tmp_path: Path) -> None:
    mixture = Mixture.parse("en:0.5,fr:0.3,de:0.2")
    config = ScalingPretrainingConfig()
    config.data, config.mixture, config.seed, config.max_update = str(tmp_path), str(mixture), 1, 0
    config.finetune_from_model = None
    config.budgets = f"1M,{write_sparse_corpus(tmp_path, mixture, 10**12)}"
    tracemalloc.start()
    task = ScalingPretrainingTask.setup_task(config)
    task.load_dataset("train")
    dataset = task.datasets["train"]
    first = next(task.get_batch_iterator(dataset, max_sentences=8).next_epoch_itr())
    resumed = task.get_batch_iterator(dataset, max_sentences=8, epoch=2)
    resumed.load_state_dict({"epoch": 2, "iterations_in_epoch": len(resumed) - 1})
    last = next(resumed.next_epoch_itr())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first["id"].tolist() == list(range(8))
    assert last["id"][-1] == len(dataset) - 1 > 1_760_000_000
    assert peak < 60e6
