"""Compiled against naive metric cost."""
