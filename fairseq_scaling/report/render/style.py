"""The style sheet of the report: light and dark, wide and narrow, screen and paper."""

from __future__ import annotations

from .panels import GRID, INK, MUTED, PALETTE, PAPER, SHADE

_DARK_PALETTE = ("#5eb3ec", "#ff9457", "#3ecf9f", "#e08fcb", "#e3b341", "#9aa3ff")

# Paper is white, whatever the screen prefers.
DARK, PRINT = "@media screen and (prefers-color-scheme: dark)", "@media print"

COLOUR_NAMES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    SHADE: "var(--shade)",
    **{colour: f"var(--s{number})" for number, colour in enumerate(PALETTE, start=1)},
}
"""Colours of the figures -> the page's names for them, so that inline figures follow light and dark."""


def _series(palette: tuple[str, ...]) -> str:
    return " ".join(f"--s{number}: {colour};" for number, colour in enumerate(palette, start=1))


CSS = (
    f"""
:root {{
  color-scheme: light dark;
  --ink: {INK}; --muted: {MUTED}; --grid: {GRID}; --paper: {PAPER}; --shade: {SHADE};
  --page: #f6f7f9; --line: #dfe2e8; --accent: #0068a8;
  --good: #00704f; --good-bg: #e2f4ed; --warn: #a33c00; --warn-bg: #fdeee3;
  --info: #0a5a94; --info-bg: #e5f1fa; --calm: #4b515c; --calm-bg: #eceef2;
  {_series(PALETTE)}
}}
{DARK} {{
  :root {{
    --ink: #e9ebf0; --muted: #a3abb8; --grid: #343a45; --paper: #1b1f27; --shade: #242a34;
    --page: #12151b; --line: #323845; --accent: #79c0f5;
    --good: #6fdcb4; --good-bg: #12352a; --warn: #ffb088; --warn-bg: #43230f;
    --info: #8fcbf7; --info-bg: #11304a; --calm: #c0c6d0; --calm-bg: #2a303b;
    {_series(_DARK_PALETTE)}
  }}
}}
"""
    + """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
}
.skip { position: absolute; left: -9999px; }
.skip:focus { left: 1rem; top: 1rem; background: var(--paper); padding: .4rem .8rem; z-index: 9; }
header, main, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 2.6rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; text-wrap: balance; }
h2 { font-size: 1.35rem; margin: 3rem 0 .8rem; letter-spacing: -.01em; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .6rem; }
h4 { font-size: 1.02rem; margin: 1.4rem 0 .5rem; }
p { margin: .35rem 0; max-width: 48rem; text-wrap: pretty; }
a { color: var(--accent); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
.subtitle, .note, figcaption, .reason { color: var(--muted); }
.note, figcaption { font-size: .88rem; }
nav { margin: 1.1rem 0 0; padding: .7rem 0; border-block: 1px solid var(--line); }
nav ul {
  list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 0; padding: 0;
  font-size: .92rem;
}
.loud {
  border: 2px solid var(--warn); background: var(--warn-bg); border-radius: 10px;
  padding: 1rem 1.2rem; margin: 1rem 0 1.2rem;
}
.loud b { color: var(--warn); }
.answer { font-size: 1.05rem; margin: 1rem 0; max-width: none; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.card {
  background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem 1.05rem;
  display: flex; flex-direction: column; gap: .3rem; min-width: 0;
}
.card h4, .card h5 { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere; }
.card .top { display: flex; justify-content: space-between; align-items: baseline; gap: .8rem; flex-wrap: wrap; }
.card .advice { font-size: 1.02rem; margin: .15rem 0 0; }
.card .reason { font-size: .92rem; margin: 0 0 .35rem; }
.chip {
  display: inline-block; border-radius: 999px; padding: .1rem .7rem; font-size: .84rem;
  font-weight: 650; white-space: nowrap;
  background: var(--calm-bg); color: var(--calm);
}
.chip.good { background: var(--good-bg); color: var(--good); }
.chip.warn { background: var(--warn-bg); color: var(--warn); }
.chip.info { background: var(--info-bg); color: var(--info); }
figure {
  margin: 1.1rem 0; background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.2rem .9rem;
}
figure svg {
  --large: 1.9px; display: block; width: 100%; height: auto;
  max-width: calc(var(--points) * var(--large)); min-width: min(34rem, var(--points) * var(--large));
}
figure.others svg { --large: 1.45px; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure svg text { font-family: inherit; }
figcaption { margin-top: .6rem; max-width: 52rem; }
.scroll { overflow-x: auto; }
.panel {
  background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: .35rem .9rem; margin: .5rem 0;
}
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: .36rem .4rem; vertical-align: top; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
tr.more td { border-bottom-color: transparent; padding-bottom: .1rem; }
td.nb { white-space: nowrap; }
thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; border-bottom-color: var(--muted); }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: anywhere; min-width: 5.5rem; }
td.n, td.nb { min-width: 0; overflow-wrap: normal; }
td:first-child { min-width: 7rem; }
td:first-child, th:first-child { padding-left: 0; }
td:last-child, th:last-child { padding-right: 0; }
.panel .note { margin: .5rem 0 .4rem; max-width: 56rem; }
details > summary { cursor: pointer; margin: 1.6rem 0 .4rem; font-weight: 600; }
code {
  font: .86em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere;
}
pre {
  background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem;
  white-space: pre-wrap;
}
dl.laws dt { margin-top: .8rem; font-weight: 600; }
dl.laws dd { margin: .1rem 0 0; color: var(--muted); }
dl.laws dd code { color: var(--ink); }
ul.plain { padding-left: 1.2rem; max-width: 50rem; }
ul.plain li { margin: .35rem 0; }
footer { color: var(--muted); font-size: .85rem; padding-top: 2rem; padding-bottom: 3rem; }
@media (max-width: 40rem) {
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  h1 { font-size: 1.55rem; }
  figure svg { min-width: 0; }
  td.n { white-space: nowrap; }
}
@page { margin: 15mm 14mm; }
"""
    + PRINT
    + """ {
  :root { color-scheme: light; --page: #fff; }
  html { font-size: 11px; }
  body { font-size: 1rem; }
  header, main, footer { max-width: none; padding: 0; }
  nav, .skip { display: none; }
  .card, figure, .loud, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  .panel, figure { padding: 0; border: 0; }
  figure svg { min-width: 0; max-width: 100%; width: auto; max-height: 21cm; }
  .cards { grid-template-columns: 1fr 1fr; gap: .8rem; }
}
"""
)
