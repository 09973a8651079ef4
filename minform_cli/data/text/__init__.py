"""Text: files read as a stream, the tokenizer, the tokens kept on disk, and batches of them."""
