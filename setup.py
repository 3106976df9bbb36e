"""Packaging: ranges, extras and commands. The exact versions the project is developed with are in requirements.lock."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "fairseq_scaling/__init__.py").read_text("utf-8"), re.M)
README = HERE / "README.md"

# The text tools live in the top-level folder preprocess/; installed, they need a name of their own.
PREPROCESS = "fairseq_scaling_preprocess"

# tensorboardX: without it fairseq prints a line that asks for it; --tensorboard-logdir writes with it.
TRAIN = ["ve-fairseq>=0.12.3,<0.13", "torch>=2.4", "tensorboardX>=2.6"]
STUDY = ["snakemake>=9,<10", "snakemake-executor-plugin-slurm>=2,<3"]
ROUGE = ["rouge-score>=0.1.2"]
# safetensors: the weights of Hugging Face; protobuf: SentencePiece model files.
EXCHANGE = ["safetensors>=0.4", "protobuf>=4"]
# transformers: the reference that T5 is compared with.
TEST = [
    "pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.5", "hypothesis>=6.100", "transformers>=5", "pandas>=2",
]  # fmt: skip
LINT = ["ruff>=0.6", "mypy>=1.11", "types-PyYAML", "types-regex", "scipy-stubs"]

setup(
    name="fairseq-scaling",
    version=VERSION.group(1) if VERSION else "0",
    description="Scaling laws for machine translation with fairseq: exact pretraining budgets, and laws from logs",
    long_description=README.read_text("utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    packages=[
        *find_packages(include=["fairseq_scaling", "fairseq_scaling.*"]),
        PREPROCESS,
        *(f"{PREPROCESS}.{name}" for name in find_packages("preprocess")),
    ],
    package_dir={PREPROCESS: "preprocess"},
    package_data={
        "": ["Snakefile", "py.typed", "*.html", "*.css", "*.js", "*.json", "*.txt", "*.csv", "*.yaml"],
        "fairseq_scaling.study.run": ["profiles/*/*.yaml"],
    },
    # fairseq and torch stand in the extra [train]: reading logs and fitting laws needs neither of them.
    install_requires=[
        "click>=8.1",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pydantic>=2.7,<3",
        "PyYAML>=6",
        "rich>=13",
        "sacrebleu>=2.4",
        "sacremoses>=0.1.1",
        "scipy>=1.11",
        "sentencepiece>=0.2",
    ],
    extras_require={
        "train": TRAIN,
        "study": [*TRAIN, *STUDY],
        "rouge": ROUGE,
        "comet": ["unbabel-comet>=2.2"],
        "wmt": ["mtdata>=0.4"],
        "mc4": ["datasets>=2.19"],
        "exchange": EXCHANGE,
        "test": [*TRAIN, *STUDY, *ROUGE, *EXCHANGE, *TEST],
        "dev": [*TRAIN, *STUDY, *ROUGE, *EXCHANGE, *TEST, *LINT],
    },
    entry_points={
        "console_scripts": [
            "fit-scaling = fairseq_scaling.cli.fit_scaling:main",
            "scaling-alignment = fairseq_scaling.cli.alignment:main",
            "score-translations = fairseq_scaling.cli.score_translations:main",
            "scaling-convert = fairseq_scaling.cli.convert:main",
            "scaling-study = fairseq_scaling.cli.study:main",
            f"scaling-preprocess = {PREPROCESS}.__main__:main",
        ]
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
