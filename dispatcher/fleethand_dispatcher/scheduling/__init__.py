"""The engine of schedules: what is kept of them, what is due, and how an occurrence becomes a run.

Expressions are read in `schedules`, which knows nothing of records; here they are put to work.
"""
