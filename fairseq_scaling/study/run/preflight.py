"""Check the flags of every command of a study before the first one runs: a typing error costs seconds, not a night.

The commands' own parsers do it, in a process of their own, since importing fairseq takes seconds and registers things:
``python -m fairseq_scaling.study.run.preflight`` reads ``[[id, argv, whether to look at its start], ...]`` as JSON and
prints ``[[id, message], ...]``. A start is a checkpoint that the study is given: its model must be the study's, and its
dictionary that of the corpus.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from ... import __version__
from ...errors import DataError, ScalingError, SettingError
from ..plan.jobs import Job, Plan
from ..stages import STAGES
from .folder import StudyFolder, write_whole
from .job import resolve
from .pending import decided_by
from .programs import PACKAGE


def check_flags(plan: Plan, folder: StudyFolder, jobs: Sequence[Job]) -> None:
    """Raise SettingError where a command of ``jobs`` does not know a flag or refuses its value.

    What has passed once is remembered in the study's folder. With programs of the person's own
    (SCALING_STUDY_PROGRAMS) nothing is checked: their flags are not known here.
    """
    if os.environ.get("SCALING_STUDY_PROGRAMS"):
        return
    # The start of a finetuning is looked at where it can be: with the corpus, and once for each checkpoint.
    starts = {place: job.id for job in reversed(jobs) for place in plan.given_to(job) if job.stage == "finetune"}
    starting = set(starts.values()) if (folder.corpus(plan) / "corpus.json").is_file() else set()
    argv = [[job.id, resolve(folder, plan, job), job.id in starting] for job in jobs]
    text = json.dumps([argv, [decided_by(plan, plan.by_id[name]) for name in sorted(starting)]])
    passed = folder.private / "flags-checked"
    key = hashlib.sha256(f"{__version__} {text}".encode()).hexdigest()
    if passed.exists() and passed.read_text("utf-8") == key:
        return
    result = subprocess.run(
        [sys.executable, "-m", "fairseq_scaling.study.run.preflight"],
        input=json.dumps(argv),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        problems = json.loads(result.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        lines = "\n".join(f"    {line}" for line in result.stderr.splitlines()[-6:])
        raise DataError(
            f"the programs of the study cannot be loaded (exit code {result.returncode})\n{lines}\n"
            "  Is the installation whole? In the project's folder: pip install '.[study]'"
        ) from None
    if problems:
        raise SettingError("study.yaml", "flags", _describe(plan, problems))
    write_whole(passed, key)


def _describe(plan: Plan, problems: list[list[str]]) -> str:
    """Return one line for each different message, with the keys the flag can come from."""
    seen: dict[tuple[str, str], str] = {}
    for job_id, message in problems:
        job = plan.by_id[job_id]
        seen.setdefault((job.stage, message), f"{job.argv[0]}: {message} (from {STAGES[job.stage].settings})")
    lines = "".join(f"\n  {line}" for line in seen.values())
    return f"some commands refuse their flags, or what they start from{lines}"


def main() -> None:
    problems = []
    known: dict[str, str] = {}
    for job_id, argv, starts in json.loads(sys.stdin.read()):
        name = os.path.basename(argv[0])
        shape = json.dumps([starts, [word for word in argv if starts or os.sep not in word]])
        if shape not in known:
            # fairseq prints while it is imported; standard output belongs to the answer.
            with contextlib.redirect_stdout(io.StringIO()):
                check = _fairseq_problem if name.startswith("fairseq-") else _click_problem
                known[shape] = check(name, argv[1:])
                if starts and not known[shape]:
                    known[shape] = _start_problem(argv[1:])
        if known[shape]:
            problems.append([job_id, known[shape]])
    print(json.dumps(problems))


def _start_problem(argv: list[str]) -> str:
    """Return what a finetuning whose flags are good says of the checkpoint it starts from."""
    import torch
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    # Not in the run's own folder: a checkpoint there would be looked at instead.
    with tempfile.TemporaryDirectory() as empty:
        arguments = options.parse_args_and_arch(options.get_training_parser(), [*argv, "--save-dir", empty])
        settings = convert_namespace_to_omegaconf(arguments)
        try:
            task = tasks.setup_task(settings.task)
            with torch.device("meta"):  # a model of any size takes no memory
                task.build_model(settings.model)
        except ScalingError as error:
            return str(error)
    return ""


def _fairseq_problem(name: str, argv: list[str]) -> str:
    # fairseq looks for --user-dir in the command line of this very process.
    sys.argv = [name, *argv]
    from fairseq import options
    from fairseq.models import import_models
    from fairseq.tasks import import_tasks

    # --user-dir does this only where the package is not imported yet, and this module belongs to it.
    import_tasks(str(PACKAGE / "tasks"), "fairseq_scaling.tasks")
    import_models(str(PACKAGE / "models"), "fairseq_scaling.models")
    from ...tasks.config import refuse_bf16

    parser: Any = options.get_training_parser() if name == "fairseq-train" else options.get_generation_parser()
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            refuse_bf16(options.parse_args_and_arch(parser, input_args=argv).bf16)
    except SettingError as error:
        return str(error)
    except SystemExit:
        message = errors.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        known = [option for action in parser._actions for option in action.option_strings]
        unknown = re.findall(r"--[\w-]+", message) if "unrecognized" in message else []
        near = [match for word in unknown for match in difflib.get_close_matches(word, known, n=1)]
        return message + (f"; did you mean {' '.join(near)}?" if near else "")
    return ""


def _click_problem(name: str, argv: list[str]) -> str:
    import click

    (entry, *_) = metadata.entry_points(group="console_scripts", name=name)
    command: Any = entry.load()
    if isinstance(command, click.Group):
        command = command.commands[argv[0]]
        argv = argv[1:]
    try:
        command.make_context(name, list(argv))
    except click.BadParameter as error:
        # The folders that earlier steps will make are not there yet.
        return "" if isinstance(getattr(error.param, "type", None), click.Path) else error.format_message()
    except click.UsageError as error:
        return error.format_message()
    return ""


if __name__ == "__main__":
    main()
