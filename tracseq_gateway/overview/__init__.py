"""What is shown of a whole gateway: the workers' digests, what the supervisor makes of them, and who looks."""
