"""A room: bytes from clients become requests, and answers become bytes again."""
