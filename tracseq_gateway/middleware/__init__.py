"""A room: the links that every request to a service passes."""
