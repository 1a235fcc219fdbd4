"""Small Linen modules, one step deep, and what they sample with."""
