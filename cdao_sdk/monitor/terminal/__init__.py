"""The live view for terminals. Only the modules here import rich; all but ``view`` are pure."""
