"""What a machine is, and what of it is in the way of working: every problem a line, none of them an end."""
