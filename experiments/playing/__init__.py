"""Learned players in the emulator."""
