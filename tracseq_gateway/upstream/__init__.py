"""A room: connections to the services, and what decides which one a request takes."""
