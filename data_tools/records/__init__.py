"""Steps on disk, and back as batches."""
