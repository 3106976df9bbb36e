"""study.yaml: what it may hold, read and checked."""
