"""The T5 models as fairseq components; fairseq imports the modules of this folder through ``--user-dir``."""
