"""Where text comes from. Every source has the small interface of ``base.Source``."""

from __future__ import annotations

from .base import Source

__all__ = ["Source"]
