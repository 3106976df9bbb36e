"""The report: curves from runs and tables, one plain document of results, and what is made from it.

``reading`` brings in points, ``curves`` groups them, ``analysis`` asks the laws, ``document`` holds the outcome in
plain types (``fits.json``); ``tables``, ``figures``, ``html``, ``files`` and ``terminal`` are made from that alone.
Nothing here imports torch or fairseq, and importing this package imports none of the modules.
"""
