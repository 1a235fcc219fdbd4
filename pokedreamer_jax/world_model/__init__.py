"""State, observing, losses, dreaming."""
