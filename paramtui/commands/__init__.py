"""What each command prints: text for people, JSON for programs."""
