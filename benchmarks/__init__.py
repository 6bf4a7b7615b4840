"""Measurements, each against a named peer in the same run; the last figures are in ``benchmarks/README.md``."""
