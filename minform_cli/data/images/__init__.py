"""Images: from files, folders and archives to pixels, and batches of them."""
