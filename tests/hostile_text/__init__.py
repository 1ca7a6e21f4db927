"""Files whose every text is made to reach a terminal, and what must not come of it."""
