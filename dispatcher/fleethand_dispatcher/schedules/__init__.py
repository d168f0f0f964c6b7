"""When a command runs: the expressions `rate(…)`, `at(…)` and cron, and the windows in which nothing fires.

Nothing here knows the records, the broker or the time: every moment is an argument.
"""
