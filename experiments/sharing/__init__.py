"""Folders for the Hugging Face Hub, and their way there."""
