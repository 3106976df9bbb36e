"""What a user should know of a finished corpus before money is spent on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNKNOWN_SHARE = 0.01
"""of the tokens of a text: above it, what the model reads lacks words"""
_CHANGED_SHARE = 0.01


def remarks(manifest: Mapping[str, Any]) -> list[str]:
    """Return sentences on a ``corpus.json``: many unknown tokens, unseen characters, references in other spelling."""
    return [*_unknown(manifest), *_unseen(manifest), *_changed(manifest)]


def _unknown(manifest: Mapping[str, Any]) -> Iterator[str]:
    texts = [
        (f"{language} {split}", size["unknown_tokens"], size["tokens"])
        for language, splits in manifest["languages"].items()
        for split, size in splits.items()
    ]
    texts += [
        (f"{pair} {split}, {language}", size["unknown_tokens"][language], size["tokens"][language])
        for pair, splits in manifest["pairs"].items()
        for split, size in splits.items()
        for language in size["tokens"]
    ]
    for text, unknown, tokens in texts:
        if unknown > UNKNOWN_SHARE * tokens:
            yield (
                f"{unknown / tokens:.1%} of the tokens of {text} are unknown to the SentencePiece model: train one on "
                "text that is more like it, raise its --character-coverage, or check that the right file was given"
            )


def _unseen(manifest: Mapping[str, Any]) -> Iterator[str]:
    for pair, splits in manifest["text"]["unseen_characters"].items():
        for split, sides in splits.items():
            for language, found in sides.items():
                if found["count"]:
                    some = " ".join(found["most_frequent"])
                    yield (
                        f"{pair} {split}, {language}: {found['count']:,} of {found['characters']:,} characters are in "
                        f"no training text: {some}"
                    )


def _changed(manifest: Mapping[str, Any]) -> Iterator[str]:
    for pair, splits in manifest["text"]["given"].items():
        for split, given in splits.items():
            for language, changed in given["changed"].items():
                if changed > _CHANGED_SHARE * given["lines"]:
                    yield (
                        f"{pair} {split}, {language}: --normalise {manifest['text']['normalise']} changes {changed:,} "
                        f"of {given['lines']:,} lines for the model. Translations are scored against the lines as "
                        "given, so no model can reach the best score. --normalise nfc or none avoids that"
                    )
