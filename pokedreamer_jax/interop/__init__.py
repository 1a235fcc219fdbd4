"""Parameters of other systems, converted."""
