"""Outbound questions to DNS."""
