"""Arrays in, arrays out: the world model and the agent that dreams in it."""
