"""What the seven services have in common: routes, schemas, errors, stored records and the OpenAPI document."""
