"""Further test sets of a pair are splits of the finetuning task: ``fairseq-generate --gen-subset test1``."""

from pathlib import Path

import pytest

from fairseq_scaling.errors import SettingError
from fairseq_scaling.tasks.scaling_translation import ScalingTranslationConfig, ScalingTranslationTask
from preprocess.clean import clean
from preprocess.encode import encode
from preprocess.fetch import fetch
from preprocess.settings import CleanSettings, SentencePieceSettings
from preprocess.sources import Request
from preprocess.sources.files import FilesSource
from preprocess.train_sentencepiece import train_sentencepiece
from tests.preprocess.samples import sentence


def test_every_test_set_of_a_pair_can_be_loaded_by_its_split(tmp_path: Path) -> None:
    paths = {}
    for name, numbers in (("train", range(200, 500)), ("test", range(9)), ("test1", range(20, 34))):
        paths[name] = (tmp_path / f"{name}.en", tmp_path / f"{name}.fr")
        for side, path in enumerate(paths[name]):
            path.write_text("".join(sentence(7 * number)[side] + "\n" for number in numbers), encoding="utf-8")
    both = {name: ",".join(map(str, sides)) for name, sides in paths.items()}
    given = {("en-fr", split): both[split] for split in ("test", "test1")}
    source = FilesSource(Request(parallel={"en-fr": [both["train"]]}, given=given))
    fetch(lambda: [source], [], ["en-fr"], tmp_path / "raw")
    clean(tmp_path / "raw", tmp_path / "clean", CleanSettings(valid=10))
    train_sentencepiece(tmp_path / "clean", tmp_path / "m", SentencePieceSettings(vocab_size=60, threads=1))
    encode(tmp_path / "clean", tmp_path / "m", tmp_path / "corpus")
    config = ScalingTranslationConfig()
    config.data, config.source_lang, config.target_lang = str(tmp_path / "corpus"), "en", "fr"
    config.finetune_tokens, config.finetune_from_model, config.seed = "all", None, 1
    task = ScalingTranslationTask.setup_task(config)
    for split, size in (("test", 9), ("test1", 14), ("valid", 10)):
        task.load_dataset(split)
        assert len(task.dataset(split)) == size
    with pytest.raises(SettingError, match=r"^split = test2: the pair en-fr has the splits: test, test1, train, valid"):
        task.load_dataset("test2")
