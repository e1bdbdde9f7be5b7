"""Reproduces results: the lab, paper tables, listening tests, speed benchmarks."""
