"""The kinds of problem that reading logs can meet, with their words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..problems import ProblemKind

_MAPPING = "--write-mapping mapping.csv writes a table to fill in, --mapping mapping.csv reads it"
_OWN_FILE = "let every run write its own file"
_DAMAGED = "a record is cut or damaged and was left out"
_DISK = "look for a full disk, or two programs that write one file"
_LOOSE = "nothing says which training these scores belong to, so their pretrain_tokens are unknown"
_FOREIGN = "the records from here on are of more than one run and were left out"


class LogProblem(ProblemKind):
    """Headline, detail of one occurrence, remedy; see :mod:`fairseq_scaling.problems`."""

    # files
    UNREADABLE = "the file cannot be read", "{reason}"
    DAMAGED_ARCHIVE = (
        "the {packer} file is damaged",
        "{reason}; what stands before the damage counts",
        "copy it again",
    )
    PACKED = "packed in a way that is not read here", "", "unpack it with {tool}"
    LONG_LINE = "line {number} is longer than {limit} MiB: this is no fairseq log", "", ""
    NO_FAIRSEQ_LINE = "no line of fairseq in the first {limit} MiB: left out"
    NOTHING = "holds nothing that fairseq or score-translations wrote: left out"
    NOTHING_IN_FILES = "{count} nothing that fairseq wrote, left out: {names}"
    UNSCORED = (
        "translations of fairseq-generate without a score",
        "",
        "score them with score-translations and the raw reference",
    )
    BAD_SCORE_FILE = "{reason}"
    BAD_ALIGNMENT_FILE = "{reason}"

    # lines
    CUT_OBJECT = _DAMAGED, "it is no whole JSON object", _DISK
    CUT_NUMBER = _DAMAGED, "its last number may lack digits", _DISK
    CUT_SCORE = _DAMAGED, "fairseq-generate's score is cut", _DISK
    JOINED_RECORDS = _DAMAGED, "two records run into each other", _DISK
    NOT_A_FIELD = _DAMAGED, "{part!r} is no name with a value", _DISK
    DAMAGED_OBJECT = "the {mark} line is cut or damaged and was left out"
    DAMAGED_CONFIG = "the configuration line is cut or damaged: its settings are unknown"
    MORE = "{count} more problems of this kind: {headline}"
    PERPLEXITY = "the record is damaged, its perplexity is not that of its loss: it was left out"
    NO_RUN_ID = "the SCALING_RUN line has no run_id: it was left out"
    UNKNOWN_FORMAT = (
        "the {mark} line has format {found}, which this version does not read: it was left out",
        "",
        "install the fairseq_scaling that wrote it, or a newer one",
    )
    NO_CROSS_ENTROPY = "the SCALING_SCORES line has no subset or no cross_entropy: it was left out"
    NO_EXACT_VALUE = "SCALING_RUN says {name} = {value!r}, which is no exact value: it was left out"
    NO_BLEU = "{result!r} is no BLEU score"
    NO_CHRF = "{result!r} is no chrF score"
    CHRF_SCALE = (
        "{result!r}: sacrebleu 1 printed chrF from 0 to 1, sacrebleu 2 from 0 to 100, and this may be either",
        "",
        "score the output with score-translations",
    )
    UNKNOWN_SCORE = "{result!r} is no score that this version knows", "", "score the output with score-translations"

    # starts of a program
    EMPTY_START = (
        "a start of fairseq-train that trained nothing: it is no run",
        "it was cut, it failed, or it logs elsewhere",
    )
    NO_SCORE_PRINTED = "fairseq-{tool} printed no score: it was cut, or its output went into another file"
    UPDATES_GO_BACK = _FOREIGN, "the updates go back from {updates} (line {at})", _OWN_FILE
    TWO_VALUES = _FOREIGN, "update {updates} is printed twice with different values (line {at})", _OWN_FILE
    OTHER_PROGRAM = _FOREIGN, "fairseq-{tool} prints no such records (line {at})", _OWN_FILE
    OTHER_STYLE = _FOREIGN, "some records have a time before them and others have none (line {at})", _OWN_FILE
    EPOCH_TWICE = _FOREIGN, "epoch {epoch} begins twice (line {at})", _OWN_FILE
    DONE_TWICE = _FOREIGN, "training is done twice (line {at})", _OWN_FILE
    RECORDS_FIRST = _FOREIGN, "records are printed before the training begins (line {at})", _OWN_FILE
    OTHER_TASK = _FOREIGN, "its SCALING_RUN is of another task (line {at})", _OWN_FILE
    NO_CONFIG = (
        _FOREIGN,
        "its SCALING_RUN has no configuration before it, and another run had not ended (line {at})",
        _OWN_FILE,
    )
    SILENT_CONFIG = _FOREIGN, "line {at} holds the configuration of another run, which printed nothing", _OWN_FILE

    # runs
    LACKS = "lacks {missing}", "", "0 for a baseline without pretraining; " + _MAPPING
    LOOSE = _LOOSE, "", _MAPPING
    LOOSE_MAPPED = _LOOSE, "the mapping says the same of {runs} runs", _MAPPING
    LOOSE_SAVED = _LOOSE, "{runs} runs saved their checkpoints in {folders}", _MAPPING
    CONTRADICTION = "{name} is {value} here, but {kept} counts, from {place}", "", "are these two runs?"
    OTHER_SETTINGS = "settings that differ from those in {place}: {settings}", "", "are these two runs?"
    TWO_SCORES = "{metric} on {subset} is {value} here and {other} in {place}: neither was used", "", "{remedy}"
    TWO_LOSSES = (
        "the loss of {subset} is printed with two values in two files: none of the losses of {subset} was used",
        "at update {updates} {value} nats here and {other} nats in {place}",
        "{remedy}",
    )
    SMOOTHED = (
        "the loss of {subset} may hold label smoothing and has no nll_loss: it is no cross-entropy and was left out"
    )
    DIVERGED = "diverged: its loss is nan or inf; it is on no curve"
    UNFINISHED = (
        "did not finish",
        "its log ends at {where}{error}",
        "wait for it, resume it, or use it as it is with --unfinished",
    )
    NO_SCORES = "has no translation scores", "", "run fairseq-generate and score-translations"
    NO_LOSS = "has no validation loss", "its log format may be none", "train with --log-format json"

    # mapping
    MAPPING_VALUE = "{reason}"
    MAPPING_TWICE = "the mapping says {name} = {value} and {other}", "", "keep one of the rows"
    UNUSED_RULE = (
        "the mapping's path {pattern} matches no file that was read",
        "",
        "compare it with the paths of the files",
    )


class Why(NamedTuple):
    """A kind and its fields, found where it is not known yet which file, line or run it is said of."""

    kind: LogProblem
    fields: Mapping[str, Any] = MappingProxyType({})


LOOSE = frozenset((LogProblem.LOOSE, LogProblem.LOOSE_MAPPED, LogProblem.LOOSE_SAVED))
"""Kinds that say why it is unknown which training scores belong to."""
