"""A room: what the gateway answers itself."""
