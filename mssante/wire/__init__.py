"""Formats and protocols, pure: bytes to objects and back. No I/O, no clock, no randomness."""
