"""Compression of answers."""
