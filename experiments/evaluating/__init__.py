"""What `experiments.evaluate` measures, each in a module of its own."""
