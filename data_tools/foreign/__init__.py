"""Files of other systems, read without running them."""
