"""Reliable channels: sending what must not get lost, and keeping what could not be handled (the dead letters)."""
