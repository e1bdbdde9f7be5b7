"""What generators of several families share; it knows no family."""
