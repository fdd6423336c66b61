"""The one exception that is meant for the user: bad input, said in one sentence."""


class InputError(Exception):
    """Bad input. The message names the file or the parameter and says what to do.

    Stages print it as a single line and exit with status 1; any other exception is a bug
    and keeps its traceback.
    """
