"""A room: who calls, and how that is known."""
