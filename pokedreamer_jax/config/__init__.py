"""What decides a run; standard library only."""
