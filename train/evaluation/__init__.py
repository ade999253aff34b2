"""Scores of a run, its tables and its page."""
