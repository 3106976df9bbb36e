"""A figure for the page: its SVG read as XML, with ids of its own, the page's font, and the page's colours."""

from __future__ import annotations

from xml.etree import ElementTree

from .markup import Markup
from .style import COLOUR_NAMES

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"
_DROPPED = {f"{{{_SVG}}}{name}" for name in ("metadata", "style", "title")}
_FONT = "font-family"


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
