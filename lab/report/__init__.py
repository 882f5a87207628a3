"""Verdicts for people and for machines: the terminal, JSON, JUnit. Judges nothing itself."""
