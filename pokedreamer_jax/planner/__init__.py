"""System 2: goals from a state of the game, and nothing else."""
