"""The second reader of the journal, written from docs/journal-format.md alone.

It shares no code with the recorder. Where the two disagree, one of them or the page is wrong.
"""
