"""Tables and pictures, drawn from the records of results alone; imports no torch."""
