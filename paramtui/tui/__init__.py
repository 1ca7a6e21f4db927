"""The screen: what a person sees of a source, and the keys to move about in it."""
