"""Plain data and arithmetic: listings, trees, dtypes, windows. No screen, no torch."""
