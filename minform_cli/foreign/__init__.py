"""Models of other libraries: what they are made of, counted by structure, and their weights in our parts."""
