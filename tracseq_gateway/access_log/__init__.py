"""Ground: one line for each request, written where the operator wants it."""
