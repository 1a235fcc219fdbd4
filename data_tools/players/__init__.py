"""Who presses the buttons."""
