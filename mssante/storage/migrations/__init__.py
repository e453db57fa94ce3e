"""Alembic's migrations: one folder of versions for each database."""
