"""The one error of the wire contract."""


class InvalidInput(ValueError):
    """Something that a caller sent breaks the contract; the message says what and how.

    A server answers it with status 400, a client raises it before anything is sent.
    """
