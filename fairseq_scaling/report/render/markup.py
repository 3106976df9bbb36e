"""HTML from Python, safe by construction: text is escaped unless it is already ``Markup``; figures of the page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from xml.etree import ElementTree

from .style import COLOUR_NAMES

_VOID = {"br", "meta", "hr"}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"
_DROPPED = {f"{{{_SVG}}}{name}" for name in ("metadata", "style", "title")}
_FONT = "font-family"


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


def inline(svg: str, name: str, alt: str) -> Markup:
    """Return the figure for the page, so that it follows light and dark.

    Args:
        svg: the file that matplotlib wrote.
        name: of the figure, unique on the page; its ids begin with it.
        alt: what a screen reader says.
    """
    # Without these ElementTree would invent prefixes.
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in [child for child in parent if child.tag in _DROPPED]:
            parent.remove(child)
        for key, value in list(parent.attrib.items()):
            parent.set(key, _rewritten(key, value, f"{name}--"))
    # The style sheet bounds a figure by this: one small panel stays small.
    root.set("style", f"--points: {float(root.get('viewBox', '0 0 0 0').split()[2]):.0f}")
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", alt)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _rewritten(key: str, value: str, prefix: str) -> str:
    """Return the value of an attribute on the page: ids and references with the prefix, colours by name."""
    if key == "id":
        return prefix + value
    if key == _HREF and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if value.startswith("url(#"):
        return f"url(#{prefix}{value[5:]}"
    if key == "style":
        pairs = [part.partition(": ") for part in value.split("; ")]
        return "; ".join(f"{name}: {COLOUR_NAMES.get(text, text)}" for name, _, text in pairs if name != _FONT)
    return COLOUR_NAMES.get(value, value)
