"""The version, where nothing lazy stands in the way."""

__version__ = "0.1.0"
