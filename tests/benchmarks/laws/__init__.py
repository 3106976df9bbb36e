"""What the fitting engine reaches, against whom: ``python -m tests.benchmarks.laws --help``."""
