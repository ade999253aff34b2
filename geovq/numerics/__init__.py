"""Matrix roots, k-means and codes that add up."""
