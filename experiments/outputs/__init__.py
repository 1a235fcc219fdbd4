"""What a run says, line by line: logs, curves, the screen, and full disks."""
