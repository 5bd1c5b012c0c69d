"""The report: its figures, its page, and what each section shows."""
