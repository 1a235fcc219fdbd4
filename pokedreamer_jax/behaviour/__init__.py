"""Losses and updates of the policy."""
