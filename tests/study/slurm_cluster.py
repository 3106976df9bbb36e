"""A SLURM cluster of one node on the loopback interface, started by hand: no systemd, no accounting database.

Debian's packages slurm-wlm and munge hold the programs. Everything else lies in one folder; any user may start it.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
# Debian keeps daemons there, which are not on every user's PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmdParameters=config_overrides
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
KillWait=2
NodeName=node NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


class SlurmCluster:
    """A running cluster; ``environment`` makes SLURM's commands find it."""

    def __init__(self, folder: Path, cpus: int = 4) -> None:
        self._folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        for name in ("state", "spool", "programs"):
            (folder / name).mkdir(parents=True)
        # Snakemake takes every SLURM_ variable away from srun, also the one that names this configuration; a cluster
        # that is installed, in /etc, does not need it.
        srun = folder / "programs/srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n')
        srun.chmod(0o755)
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "programs"), PATH]),
        }
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        controller_port, node_port = _free_ports(2)
        values = {
            "host": socket.gethostname().partition(".")[0], "user": getpass.getuser(), "folder": folder, "cpus": cpus,
            "controller_port": controller_port, "node_port": node_port,
        }  # fmt: skip
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))

    def start(self) -> None:
        """Start the three daemons and wait until the node takes jobs."""
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        places = [f"--{flag}={self._folder}/munge.{name}" for flag, name in files.items()]
        self._start("munged", "--foreground", "--force", *places)
        _wait_for(lambda: (self._folder / "munge.socket").exists(), "munged")
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D", "-N", "node")
        _wait_for(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%t"), "the node")

    def ask(self, *words: str) -> str:
        """Return what a command of SLURM prints."""
        return subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=False
        ).stdout

    def stop(self) -> None:
        """End the jobs and the daemons, the last one first."""
        self.ask("scancel", "--quiet", f"--user={getpass.getuser()}")
        for daemon in reversed(self._daemons):
            assert daemon.stdin is not None
            daemon.stdin.close()
            daemon.wait(timeout=60)

    def _start(self, name: str, *words: str) -> None:
        program = shutil.which(name, path=PATH)
        assert program is not None
        # It ends when the pipe closes: a test run that is killed leaves no daemon behind.
        supervisor = [sys.executable, "-m", "fairseq_scaling.study.run.supervise", "10"]
        with (self._folder / f"{name}.output").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [*supervisor, program, *words], env={**os.environ, **self.environment}, stdin=subprocess.PIPE,
                    stdout=output, stderr=output, start_new_session=True,
                )
            )  # fmt: skip


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
