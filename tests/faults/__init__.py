"""Faults at random moments, again and again: `python -m tests.faults [FAULT …] --repetitions N`."""
