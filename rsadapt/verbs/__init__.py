"""What a user asks for: one file a verb, each a Python function that the command line calls."""
