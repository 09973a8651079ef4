"""Tests of reading text: corpus, tokenizer, tokens on disk, splits and batches."""
