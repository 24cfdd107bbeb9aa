"""Ground: what is measured, for Prometheus."""
