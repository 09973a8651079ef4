"""Looking for good variants and sizes under a budget of parameters."""
