"""Analyses of scores, and of the people that they should agree with, one a file.

Each is a dataclass and a `main`, and a line in `__main__.COMMANDS`; it writes CSV and Markdown with 95 % intervals, and
a figure. Nothing that was scored is scored again.
"""
