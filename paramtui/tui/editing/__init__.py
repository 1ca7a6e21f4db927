"""How a person changes numbers on screen; nothing of it is imported before a key asks for it."""
