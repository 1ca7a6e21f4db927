"""Broken files by the million, read under an alarm: ``python -m tests.fuzz``."""
