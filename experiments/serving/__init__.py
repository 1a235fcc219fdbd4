"""The page that sessions are played on, and its server."""
