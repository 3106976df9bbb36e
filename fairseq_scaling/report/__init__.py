"""The report: curves from runs and tables, one typed object of results, and what is made from it.

``reading`` and ``points`` bring in curves, ``analysis`` asks the laws, ``results`` holds the outcome (``fits.json``),
and ``render`` shows it. Nothing here imports torch or fairseq, and importing this package imports none of the modules.
"""
