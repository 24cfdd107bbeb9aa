"""A room: how often a client may call, agreed upon by all workers."""
