"""Finds the instances of services while the gateway runs: in DNS, in a file, or by asking somebody."""
