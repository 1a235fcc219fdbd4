"""Train state, optimiser and update step."""
