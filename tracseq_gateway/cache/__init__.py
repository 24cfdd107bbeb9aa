"""Answers of services that are kept, and given again to whoever may have them."""
