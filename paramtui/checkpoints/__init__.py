"""Readers of checkpoint files, one module per format. None imports torch or runs anything."""
