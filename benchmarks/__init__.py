"""What the numbers in docs/benchmarks.md are measured with; run as ``python -m benchmarks COMMAND``."""
