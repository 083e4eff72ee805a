"""What a trained network is good for: maps and figures."""
