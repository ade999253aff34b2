"""Shortest-path k-medoids on graphs, without a distance matrix."""
