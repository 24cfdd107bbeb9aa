"""What a shared HTTP cache may keep and give out again: RFC 9111, as pure functions over fields and times."""
