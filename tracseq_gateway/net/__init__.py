"""Ground floor: what the gateway adds to Twisted's reactor, transports and timers."""
