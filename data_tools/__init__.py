"""The emulator and the disk; never imports jax."""
