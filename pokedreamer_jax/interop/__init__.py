"""Parameters of other systems, converted, and models to give away."""
