"""Task `next-tokens`: every token from those before it; the output is tied to the embedding unless that says no.

Source: Language Models are Unsupervised Multitask Learners (GPT-2, 2019), section 2.
"""

from __future__ import annotations

from minform_cli.tasks.vocabulary import TokenTask

TASK = TokenTask()
