"""Damaged logs, made from a seed: cut, mixed, packed, rewritten, and what a reader should see of them as text."""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.logs.samples import FAIRSEQ_0_6, FAIRSEQ_0_9, FAIRSEQ_0_9_JSON, GOLDEN, plugin_log, run_object, score_file

Change = Callable[[bytes, random.Random], bytes]


def samples() -> dict[str, bytes]:
    """Return name -> content of one log of every kind, each of another run."""
    found = {
        path.name: path.read_bytes() for path in sorted(GOLDEN.rglob("*")) if path.suffix in (".log", ".txt", ".json")
    }
    for name, text in (("0.9", FAIRSEQ_0_9), ("0.6", FAIRSEQ_0_6), ("0.9 json", FAIRSEQ_0_9_JSON)):
        found[name] = text.replace("checkpoints", f"checkpoints-{name.replace(' ', '-')}").encode()
    for seed, run_id in enumerate(("aaaaaaaaaaaa", "bbbbbbbbbbbb")):
        losses = {100 * n: round(6 + seed / 7 - n / 3, 3) for n in range(1, 9)}
        run = run_object(run_id, seed=seed)
        found[f"plugin {seed}"] = plugin_log(run, losses, f"checkpoints-plugin-{seed}").encode()
        found[f"scores {seed}"] = score_file(run, 12.25 + seed).encode()
        table = f"score-translations: 12 sentences of test, run {run_id}\nmetric  score\nbleu    {12.25 + seed:.2f}\n"
        printed = " ".join(score_file(run, 12.25 + seed).split())
        found[f"scores shown {seed}"] = f"{table}written to scores.json\n".encode()
        found[f"scores printed {seed}"] = f"{table}SCALING_SCORES {printed}\n".encode()
    found["0.10"] = _as_0_10(found["train-simple-smoothed.log"])
    found["0.10 json"] = _as_0_10(found["train-json-bleu.log"])
    found["generate 0.9"] = b"| Translated 12 sentences (307 tokens) in 1.1s (11.31 sentences/s, 289.13 tokens/s)\n" + (
        re.sub(rb"(?m)^(?=Generate )", b"| ", found["generate-tokens.txt"])
    )
    return found


def _as_0_10(log: bytes) -> bytes:
    """Return the log as fairseq 0.10 began it: with the bare Namespace that later versions keep inside a dict."""
    log = log.replace(b"checkpoints/", b"checkpoints-0.10/")
    config = next(line for line in log.splitlines() if b"{'_name'" in line)
    namespace = re.search(rb"'model': (Namespace\(.*?\)), '", config)
    assert namespace is not None
    return log.replace(config[config.index(b"{'_name'") :], namespace[1])


def cut(log: bytes, draw: random.Random) -> bytes:
    """Return the log to some place, of two times once to one in the last number of a record."""
    ends = [match.end() for match in re.finditer(rb"valid on '\w+' subset .*\d|\"valid_num_updates\": .*\}", log)]
    if ends and draw.random() < 0.5:
        return log[: draw.choice(ends) - draw.randint(1, 4)]
    return log[: draw.randrange(len(log) + 1)]


def headless(log: bytes, draw: random.Random) -> bytes:
    return log[draw.randrange(len(log) + 1) :]


def drop_lines(log: bytes, draw: random.Random) -> bytes:
    return b"".join(line for line in log.splitlines(True) if draw.random() > 0.2)


def restart(log: bytes, draw: random.Random) -> bytes:
    return cut(log, draw) + b"\n" + log


def repeat_lines(log: bytes, draw: random.Random) -> bytes:
    """As ``--log-file`` does, where every epoch adds a handler."""
    return b"".join(line * draw.choice([1, 1, 1, 2, 3]) for line in _ended(log).splitlines(True))


def progress_bars(log: bytes, draw: random.Random) -> bytes:
    """As on a terminal, where a bar overwrites itself before every line."""
    bar = b"epoch 001:  20%|\xe2\x96\x88\xe2\x96\x88        | 5/25 [00:01<00:04,  4.30it/s, loss=9.87, num_updates=5]\r"
    return b"".join(bar * draw.randrange(3) + line for line in log.splitlines(True))


def shuffle_lines(log: bytes, draw: random.Random) -> bytes:
    lines = _ended(log).splitlines(True)
    draw.shuffle(lines)
    return b"".join(lines)


def concatenate(one: bytes, two: bytes, draw: random.Random) -> bytes:
    return one + two


def cut_then_other(one: bytes, two: bytes, draw: random.Random) -> bytes:
    return cut(one, draw) + two


def interleave(one: bytes, two: bytes, draw: random.Random) -> bytes:
    sides, out = [one.splitlines(True)[::-1], two.splitlines(True)[::-1]], []
    while sides[0] or sides[1]:
        side = sides[draw.random() < 0.5]
        out += [side.pop() for _ in range(draw.randint(1, 8)) if side]
    return b"".join(out)


def splice(one: bytes, two: bytes, draw: random.Random) -> bytes:
    """Two programs whose buffers reach one file in turns, wherever a line is."""
    out, size = [], draw.choice([64, 512, 4096])
    while one or two:
        if draw.random() < 0.5:
            one, two = two, one
        out.append(one[:size])
        one = one[size:]
    return b"".join(out)


def break_in(one: bytes, two: bytes, draw: random.Random) -> bytes:
    """Two programs of which one writes whole lines into the lines of the other."""
    lines = [line for line in two.splitlines(True) if b"loss" in line] or [two]
    for _ in range(draw.randint(1, 20)):
        place = draw.randrange(len(one) + 1)
        one = one[:place] + draw.choice(lines) + one[place:]
    return one


def flip(log: bytes, draw: random.Random) -> bytes:
    out = bytearray(log)
    for _ in range(draw.randint(1, min(50, 1 + len(out) // 100)) if out else 0):
        out[draw.randrange(len(out))] = draw.randrange(256)
    return bytes(out)


JUNK = [b"NaN", b"{" * 5000, b"[" * 100_000, b'{"epoch": 1, ', b"\x00", b"\xff\xfe", b"1e999", b"| ", b"\n", b"\r"]


def insert(log: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(log) + 1)
    return log[:place] + draw.choice(JUNK) + log[place:]


def delete(log: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(log) + 1)
    return log[:place] + log[place + draw.randint(1, 3000) :]


def swap_digits(log: bytes, draw: random.Random) -> bytes:
    def other(digit: re.Match[bytes]) -> bytes:
        return digit[0] if draw.random() > 0.01 else draw.choice([b"", b"-", b"e", b".", b"0", b"9", b"00", b"E5"])

    return re.sub(rb"\d", other, log)


def zeros(log: bytes, draw: random.Random) -> bytes:
    """As after a power cut, or where a log was emptied under a program that wrote on behind."""
    place = draw.choice([0, draw.randrange(len(log) + 1)])
    return log[:place] + bytes(draw.choice([1, 300, 5000])) + log[place:]


def latin_1(log: bytes, draw: random.Random) -> bytes:
    return log.replace(b"e", "é".encode("latin-1")) if draw.random() < 0.5 else log.replace(b"'", b"\x92")


def not_a_number(log: bytes, draw: random.Random) -> bytes:
    """From some record on, every loss is nan or inf, in any spelling that fairseq or a tensor gives it."""
    word = draw.choice([b"nan", b"inf", b"NaN", b"-inf", b"Infinity"])
    bare = word in (b"NaN", b"Infinity") and draw.random() < 0.5
    key = rb'(?P<key>"(?:\w+_)?(?:nll_)?(?:loss|ppl)": )"(?P<old>[\d.]+)"'
    at = draw.randrange(len(log) + 1)
    at = log.find(b"\n", at) + 1 or at
    broken = re.sub(key, rb"\g<key>" + (word if bare else b'"' + word + b'"'), log[at:])
    return log[:at] + re.sub(rb"(?P<key>\b(?:nll_)?(?:loss|ppl)[ =])[\d.]+(?=[ ,\n])", rb"\g<key>" + word, broken)


def too_few_digits(log: bytes, draw: random.Random) -> bytes:
    """A long training: whole numbers beyond a million, which fairseq prints with six digits."""
    factor = draw.randint(10_000, 90_000_000)

    def rounded(match: re.Match[bytes]) -> bytes:
        return match["key"] + b"%s" % f"{int(match['value']) * factor:g}".encode()

    def exact(match: re.Match[bytes]) -> bytes:
        return b"@ %d updates" % (int(match[1]) * factor)

    log = re.sub(rb"@ (\d+) updates", exact, log)
    key = rb'(?P<key>\bnum_updates[= ]|_?num_updates": "|pretrain_tokens(?:_\w+)?": )(?P<value>\d+)(?=[ ,\n}"])'
    return re.sub(key, rounded, log)


# what happens to one log; of those in KEEPING every line is still there as it was, or cut, or was never there
KEEPING: dict[str, Change] = {
    "cut": cut,
    "headless": headless,
    "drop lines": drop_lines,
    "restart": restart,
    "repeat lines": repeat_lines,
    "progress bars": progress_bars,
    "crlf": lambda log, draw: log.replace(b"\n", b"\r\n"),
    "cr": lambda log, draw: log.replace(b"\n", b"\r"),
}
CHANGING: dict[str, Change] = {
    "shuffle lines": shuffle_lines,
    "flip": flip,
    "insert": insert,
    "delete": delete,
    "swap digits": swap_digits,
    "zeros": zeros,
    "latin-1": latin_1,
}
# lines as fairseq would have written them, but of another training
RESPELLING: dict[str, Change] = {"not a number": not_a_number, "too few digits": too_few_digits}
MIXING = {
    "concatenate": concatenate,
    "cut then other": cut_then_other,
    "interleave": interleave,
    "splice": splice,
    "break in": break_in,
}
ENCODING = {"utf-8 mark": "utf-8-sig"} | {name: name for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")}
PACKING = ("gzip", "gzip in parts", "cut gzip", "flip gzip")
KINDS = ("whole", *KEEPING, *CHANGING, *RESPELLING, *MIXING, *ENCODING, *PACKING)
SAMPLES = samples()
_NAMES = ("train.log", "b.txt", "scores.json", "run/log", "x.gz")


@dataclass
class Mutant:
    """Files to write, what was done to them, and what there is to be read.

    Attributes:
        kinds: what was done, in order.
        files: name -> bytes.
        texts: name -> the text of the file, as far as it can be unpacked.
        lines: whole lines as fairseq or this project wrote them, whether or not they are in the texts.
        lost: files whose packing is damaged.
    """

    kinds: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    lines: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def mutate(draw: random.Random, first: str, files: int = 1, more: float = 0.0) -> Mutant:
    """Return ``files`` files; to the first is done what ``first`` says and, with probability ``more`` each, more."""
    mutant = Mutant()
    for number, name in enumerate(draw.sample(_NAMES, files)):
        mutant.files[name], mutant.texts[name] = _one(mutant, name, draw, "whole" if number else first, more)
    return mutant


def _one(mutant: Mutant, name: str, draw: random.Random, first: str, more: float) -> tuple[bytes, str]:
    kinds = [first]
    while draw.random() < more:
        kinds.append(draw.choice(KINDS))
    log = _sample(mutant, draw)
    packing = ""
    for kind in kinds:
        if kind in MIXING:
            log = MIXING[kind](log, _sample(mutant, draw), draw)
        elif kind in RESPELLING:
            log = RESPELLING[kind](log, draw)
            mutant.lines |= _lines(log) if kinds[0] == kind else set()
        elif kind in (*ENCODING, *PACKING):
            # once, and after everything that is done to lines
            packing = packing or kind
            continue
        elif kind != "whole":
            log = {**KEEPING, **CHANGING}[kind](log, draw)
        mutant.kinds.append(kind)
    if not packing:
        return log, log.decode("utf-8", "replace")
    mutant.kinds.append(packing)
    if packing in ENCODING:
        # what is UTF-16 can not be told where zero bytes stand in it too
        log = log.replace(b"\0", b"")
        text = log.decode("utf-8", "replace")
        return text.encode(ENCODING[packing], "replace"), text
    packed = gzip.compress(log, 1)
    if packing == "gzip in parts":
        half = len(log) // 2
        packed = gzip.compress(log[:half], 1) + gzip.compress(log[half:], 1)
    elif packing == "cut gzip":
        packed = packed[: draw.randrange(2, len(packed))]
        mutant.lost.add(name)
    elif packing == "flip gzip":
        place = draw.randrange(10, len(packed))
        packed = packed[:place] + bytes([packed[place] ^ (1 << draw.randrange(8))]) + packed[place + 1 :]
        mutant.lost.add(name)
    return packed, (_unpacked(packed) if name in mutant.lost else log).decode("utf-8", "replace")


def _sample(mutant: Mutant, draw: random.Random) -> bytes:
    log = SAMPLES[draw.choice(sorted(SAMPLES))]
    mutant.lines |= _lines(log)
    return log


def _lines(log: bytes) -> set[str]:
    return {line for line in log.decode("utf-8", "replace").split("\n") if line}


def _unpacked(packed: bytes) -> bytes:
    """Return what a damaged gzip file still gives, byte by byte."""
    unpacker, found = zlib.decompressobj(wbits=31), b""
    for place in range(len(packed)):
        try:
            found += unpacker.decompress(packed[place : place + 1])
        except zlib.error:
            break
    return found


def _ended(log: bytes) -> bytes:
    return log if log.endswith(b"\n") else log + b"\n"
