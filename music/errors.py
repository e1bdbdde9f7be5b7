"""The one exception that a user can cure."""


class InputError(ValueError):
    """Something the user gave (a file, a row, an option, a folder) cannot be used.

    The message is one line: what was expected, what came, the file and row it came from, and what to do.
    Commands print it as ``error: ...`` and exit with code 2; every other exception is a defect and keeps its
    traceback.
    """
