"""A room: from a path to who answers it."""
