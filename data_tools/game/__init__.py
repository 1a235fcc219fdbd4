"""One Game Boy and its memory."""
