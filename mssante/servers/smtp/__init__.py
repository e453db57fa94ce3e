"""SMTP listeners."""
