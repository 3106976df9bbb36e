"""What a user should know of a finished corpus before money is spent on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNKNOWN_SHARE = 0.01
"""of the tokens of a text: above it, what the model reads lacks words"""
_CHANGED_SHARE = 0.01

PACKAGES_AT_FAULT = (
    "packages_of_another_version",
    "packages_unknown_to_this_release",
    "packages_not_downloaded",
    "packages_beyond_the_limit",
)
"""keys of the source ``debian`` in raw.json and corpus.json: why the text is not that of the package list"""


def remarks(manifest: Mapping[str, Any]) -> list[str]:
    """Return sentences on a ``corpus.json``: many unknown tokens, unseen characters, references in other spelling."""
    return [*source_remarks(manifest), *text_remarks(manifest), *_unknown(manifest), *_unseen(manifest)]


def source_remarks(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each source whose text is not what its list of packages says."""
    for source in manifest["sources"]:
        if source.get("as_pinned") is False:
            count = sum(len(source[key]) for key in PACKAGES_AT_FAULT)
            yield (
                f"the text differs from that of {source['package_list']} ({count} packages): numbers measured on it do "
                "not compare with published ones"
            )


def text_remarks(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence where the text is not the expected one, and for each given set that normalising changes."""
    text = manifest["text"]
    if text["expected"] and not text["fingerprint"].startswith(text["expected"]):
        yield (
            f"the text has the fingerprint {text['fingerprint'][:12]}, not the expected {text['expected'][:12]}: "
            "numbers measured on it do not compare with the published ones"
        )
    yield from _changed(manifest)


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
