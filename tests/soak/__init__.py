"""The fuller battery: what the suite shows on some, shown on very many, in slices that can be stopped and resumed.

`make soak` runs it (`python -m tests.soak`), part by part as `parts.PARTS` lists them, and prints how far each figure
of reliability has come. A test that takes part asks `tries` how many, `seed` which ones, and tells `reached` what it
did.
"""
