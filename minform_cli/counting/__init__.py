"""Exact counts: arithmetic over what parts say they are made of (`config.form`), without torch.

That a built model is so, `models.verify` says.
"""
