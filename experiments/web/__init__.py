"""A dream as a folder that a browser opens from disk: no server, no network."""
