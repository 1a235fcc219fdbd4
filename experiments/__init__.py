"""Entry points and what they share."""

from experiments.runs import guard

guard.leave_if_unfit()
