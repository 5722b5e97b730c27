"""Measuring: morphology, statistics, verdicts."""
