"""How right edges, graph distances and single metrics are."""
