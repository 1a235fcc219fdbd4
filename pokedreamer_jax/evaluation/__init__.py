"""How good a world model is: its dreams against the game it learned."""
