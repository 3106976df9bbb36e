"""Text to binary: ``scaling-preprocess encode`` against fairseq-preprocess, fed with the pieces of the same model.

    python tests/benchmarks/encoding.py [--lines 100000]

One process each, in processor time with their start. fairseq-preprocess reads pieces, so SentencePiece has to split the
text first, which is timed apart; encode reads plain text. The ids that both write are compared one by one. Memory is
that of encode with a quarter of the text and with all of it. The text is made up (text.py), the vocabulary has 4000
pieces.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fairseq_scaling.data.corpus import Corpus
from preprocess.encode import load_model
from preprocess.folders import mono_name
from tests.benchmarks.text import clean_folder, preprocess, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000, help="lines of text (default 100000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measured = []
        for lines in (options.lines // 4, options.lines):
            folder = Path(name) / str(lines)
            clean, model = clean_folder(folder, lines, pairs=200, test=50, vocabulary=4000)
            encode = ("encode", clean, "--model", model, "--workers", 1, "--out", folder / "corpus")
            measured.append(preprocess(*encode))
        text, corpus = clean / mono_name("aa", "train"), Corpus.open(folder / "corpus")
        splitting = split(text, model, folder / "pieces.aa")
        stock, memory = run([
            str(Path(sys.executable).parent / "fairseq-preprocess"), "--only-source", "--source-lang", "aa",
            "--trainpref", str(folder / "pieces"), "--srcdict", str(corpus.dictionary_path), "--workers", "1",
            "--destdir", str(folder / "fairseq"),
        ])  # fmt: skip
        same = same_ids(corpus, folder / "fairseq")
        megabytes, tokens = text.stat().st_size / 1e6, corpus.mono("aa").tokens

    ours = measured[1][0]
    table = Table(title=f"{megabytes:.0f} MB of text, {tokens:,} tokens")
    for heading in ("", "processor time", "MB/s", "times as fast as fairseq-preprocess", "memory"):
        table.add_column(heading, justify="left" if not heading else "right")
    for label, seconds, used in (
        ("scaling-preprocess encode, from text", ours, f"{measured[0][1] / 1e6:.0f} MB, {measured[1][1] / 1e6:.0f} MB"),
        ("fairseq-preprocess, from pieces", stock, f"{memory / 1e6:.0f} MB"),
        ("splitting into pieces + fairseq-preprocess", splitting + stock, ""),
    ):
        table.add_row(label, f"{seconds:.1f} s", f"{megabytes / seconds:.1f}", f"{stock / seconds:.1f}", used)
    Console(width=120).print(table, f"the same ids: {'yes, all' if same else 'NO'}")


def split(text: Path, model: Path, out: Path) -> float:
    """Write the pieces of every line, as spm_encode does; return the processor time."""
    processor = load_model(model)
    start = time.process_time()
    with text.open(encoding="utf-8") as lines, out.open("w", encoding="utf-8") as pieces:
        for line in lines:
            print(*processor.encode(line.rstrip("\n"), out_type=str), file=pieces)
    return time.process_time() - start


def same_ids(corpus: Corpus, folder: Path) -> bool:
    """Tell whether fairseq wrote the same sentences."""
    from fairseq.data.indexed_dataset import make_dataset

    ours, theirs = corpus.mono("aa"), make_dataset(str(folder / "train.aa-None.aa"), "mmap")
    return len(ours) == len(theirs) and all(
        np.array_equal(np.asarray(ours[row]), theirs[row].numpy()) for row in range(len(ours))
    )


if __name__ == "__main__":
    main()
