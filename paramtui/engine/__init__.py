"""The process that holds a model, and the messages that reach it."""
