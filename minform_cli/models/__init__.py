"""Neural networks: parts on axes, a block, a stack, and the one constructor."""
