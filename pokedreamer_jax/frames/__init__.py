"""Pixels, two bits each, and the tiles they make."""
