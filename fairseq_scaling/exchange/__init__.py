"""Checkpoints to and from Hugging Face: weights, settings, vocabulary and tokenizer.

What needs torch or fairseq lives in ``weights``, ``checkpoint`` and ``convert``; the vocabulary needs neither.
"""
