"""A room: from the OpenAPI documents of the services to the one of the gateway."""
