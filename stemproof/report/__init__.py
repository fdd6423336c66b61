"""The report: tables, figures and words, self-contained."""
