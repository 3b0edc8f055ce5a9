"""The matrix factorisation router's model."""
