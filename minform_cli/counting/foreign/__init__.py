"""Counting models that other libraries build: read their structure, never guess, say what each reduction would save."""
