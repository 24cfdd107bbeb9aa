"""Ground floor: the configuration, a frozen tree parsed once at the start."""
