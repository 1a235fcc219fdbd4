"""The loops around a jitted update."""
