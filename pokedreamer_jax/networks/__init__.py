"""Small Linen modules, one step deep."""
