"""Decorators that keep out what should not come in."""
