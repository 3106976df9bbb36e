"""A study on a real SLURM cluster of one node on loopback: a job of it is killed, it is stopped, and goes on."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from fairseq_scaling.study.run.scheduling import PROFILES
from tests.study.conftest import Fakes, small_study
from tests.study.helpers import kinds, wait_for
from tests.study.slurm_cluster import SlurmCluster, missing_programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing_programs()),
        reason=f"SLURM is not installed ({', '.join(missing_programs())}): make slurm (Debian: slurm-wlm, munge)",
    ),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm") / "cluster")
    try:
        try:
            cluster.start()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"SLURM is installed but does not start on this machine: {error}")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The package's own profile, asking squeue (there is no accounting database) and looking at its jobs often."""
    values = yaml.safe_load((PROFILES / "slurm/config.yaml").read_text())
    values |= {
        "slurm-init-seconds-before-status-checks": 6, "slurm-status-command": "squeue", "latency-wait": 10,
        "slurm-no-account": True, "default-resources": ["mem_mb=50", "runtime=10"],
    }  # fmt: skip
    folder = tmp_path / "profile"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


@pytest.fixture
def start_study() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a study in the background; it is ended with the test, whatever happens."""
    started = []

    def start(errors: Path, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with errors.open("w") as file:
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=file))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_study_goes_through_slurm_survives_a_killed_job_is_stopped_and_goes_on(
    cluster: SlurmCluster, profile: Path, fakes: Fakes, tmp_path: Path,
    start_study: Callable[..., subprocess.Popen[bytes]],
) -> None:  # fmt: skip
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "corpus.json").write_text(json.dumps({"fingerprint": "abc"}))
    study = small_study()
    del study["text"]
    study |= {"corpus": "corpus"}
    study["pretraining"] = {"mixtures": ["en:0.5,fr:0.5"], "budgets": ["1M"]}
    study["finetuning"]["baseline"] = False
    study["resources"] = {"pretrain": {"threads": 2, "memory": "100M", "time": "9min"}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    out = tmp_path / "out"
    words = ("run", tmp_path / "study.yaml", "--out", out, "--profile", profile)
    log = out / "pretraining/en0.5-fr0.5/seed1/1M/.unfinished/train.log"
    errors = tmp_path / "errors"

    process = start_study(errors, fakes.command(*words), fakes.environment(FAKE_HANG="2", **cluster.environment))
    # The pretraining hangs at its second step; killed, it is tried again and goes on from there.
    wait_for(lambda: log.exists() and log.read_text().count("num_updates") == 2)
    record = json.loads((out / ".study/records/pretrain/en0.5-fr0.5/seed1/1M.json").read_text())
    (job,) = [line.split()[0] for line in running(cluster) if "pretrain" in line]
    told = cluster.ask("squeue", "--noheader", f"--jobs={job}", "--format=%C %m %l").split()
    cluster.ask("scancel", job)
    # The finetuning hangs at its second step, too. Now the whole study is stopped.
    finetuning = out / "finetuning/en-fr/200k/en0.5-fr0.5/seed1/1M/seed1"
    unfinished = finetuning / ".unfinished/train.log"
    wait_for(lambda: unfinished.exists() and unfinished.read_text().count("num_updates") == 2)
    assert "Loaded checkpoint with 2 steps" in (out / "pretraining/en0.5-fr0.5/seed1/1M/train.log").read_text()
    assert record["attempts"] == 3
    assert told == ["2", "100M", "9:00"]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=100) == 130
    wait_for(lambda: not running(cluster))

    fakes.started()
    result = fakes.run(*words, **cluster.environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["the table of results", f"Report: {out}/results/report.html"]
    assert "Loaded checkpoint with 2 steps" in (finetuning / "train.log").read_text()
    assert kinds(fakes.started()) == {
        "fairseq-train": 1, "fairseq-generate": 1, "score-translations": 1, "fit-scaling": 1,
    }  # fmt: skip


def running(cluster: SlurmCluster) -> list[str]:
    """Return "number comment" of every job that waits or runs."""
    return cluster.ask("squeue", "--noheader", "--states=PENDING,RUNNING,COMPLETING", "--format=%i %k").splitlines()
