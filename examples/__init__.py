"""Five small programs, one for each use of GeoVQ; each takes less than three minutes on two cores and draws a picture."""
