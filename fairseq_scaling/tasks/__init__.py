"""The tasks that fairseq loads through ``--user-dir``. What they change in fairseq is in ``_fairseq.py``."""
