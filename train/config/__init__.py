"""Every option of every stage, its range, and what several options say together."""
