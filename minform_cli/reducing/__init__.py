"""A trained model made smaller: exactly, as well as data allow under a budget, and healed."""
