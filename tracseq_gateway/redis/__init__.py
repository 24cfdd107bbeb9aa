"""Ground floor: how the gateway talks to Redis or Valkey, for the limits (link) and for the rest (control)."""
