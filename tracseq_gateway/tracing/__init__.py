"""Ground: spans of requests, for an OpenTelemetry collector."""
