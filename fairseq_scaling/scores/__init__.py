"""Translations -> scores with signatures, and the score files that hold them. Reads no training log."""
