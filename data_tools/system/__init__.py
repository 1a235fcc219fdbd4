"""What the operating system gives: processes, files, locks, time limits."""
