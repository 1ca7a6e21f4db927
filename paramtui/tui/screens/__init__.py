"""Screens: the browser and what opens over it."""
