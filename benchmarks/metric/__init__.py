"""How fast are pullback metrics, and how accurate are lengths and distances? For benchmarks.metric and benchmarks.geometry."""
