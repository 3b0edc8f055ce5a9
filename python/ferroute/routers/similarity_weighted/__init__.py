"""The similarity-weighted ranking's names; it runs in a later version."""
