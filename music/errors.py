"""What a user can cure, in one row or for all of them."""


class InputError(ValueError):
    """Something the user gave (a file, a row, an option, a folder) cannot be used.

    The message is one line: what was expected, what came, the file and row it came from, and what to do.
    Commands print it as ``error: ...`` and exit with code 2; every exception but this and `ServiceError` is a
    defect and keeps its traceback.
    """


class ServiceError(Exception):
    """A server that all of the work needs refuses it or cannot be reached.

    It is no `InputError`: who leaves out a row that cannot be used must not go on to the next, which would fare no
    better. Commands end with it as with an `InputError`, and what is finished stays.
    """
