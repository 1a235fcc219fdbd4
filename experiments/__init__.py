"""Entry points and what they share."""

from experiments.machine import guard

guard.leave_if_unfit()
