"""Scores of a run, samples, tables, pictures and the page."""
