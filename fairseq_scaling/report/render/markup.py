"""HTML from Python, safe by construction: text is escaped unless it is already ``Markup``."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_VOID = {"br", "meta", "hr"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Markup(str):
    """Text that is HTML already."""


def tag(
    name: str, /, *children: str | Markup | Iterable[str | Markup | None] | None, **attributes: str | int | None
) -> Markup:
    """Return an element. ``class_`` and ``for_`` lose their underscore, other underscores become dashes."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[str | Markup | Iterable[str | Markup | None] | None]) -> Markup:
    """Return the children one after the other; nested lists are flattened, None is nothing."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        else:
            parts.append(join(child))
    return Markup("".join(parts))


def escape(text: str) -> Markup:
    """Return text fit for content and for attributes in double quotes; control characters become visible."""
    return Markup(html.escape(_CONTROL.sub("\ufffd", text), quote=True))
