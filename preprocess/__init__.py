"""From raw text to a corpus folder: fetch, clean, train-sentencepiece, encode.

Each step is a command (``python -m preprocess STEP --help``) and a function in the module of its name. Installed, the
package is called ``fairseq_scaling_preprocess`` and the command ``scaling-preprocess``.
"""
