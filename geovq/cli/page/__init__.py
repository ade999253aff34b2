"""A page in one HTML file: its pictures, charts, templates, style and script. May import what stands before the command line."""
