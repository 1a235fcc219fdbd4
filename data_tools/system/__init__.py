"""What the operating system gives: files, locks, processors, time limits."""
