"""Shared clinical documents: submission sets, document entries, versions (XDS, French profile)."""
