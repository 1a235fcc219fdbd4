"""Processes that play and record."""
