"""How a network learns from two domains."""
