"""A run directory, its flags, its progress, its processes."""
