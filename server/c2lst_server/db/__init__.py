"""The central database."""
