"""What a process runs on: this machine, its memory, devices and versions."""
