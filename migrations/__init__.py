"""Alembic migrations: expand, then contract; one that has landed is never edited."""
