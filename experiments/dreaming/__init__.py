"""A session of playing in a dream: no web, no clock."""
