"""Rows of results, where they go, times in turn, intervals."""
