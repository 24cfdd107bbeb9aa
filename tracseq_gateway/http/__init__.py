"""Ground floor: HTTP messages as pure data. No reactor, no Deferred, no socket."""
