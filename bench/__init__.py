"""Benchmarks: what the product costs at sizes that tests do not reach, and the committed results."""
