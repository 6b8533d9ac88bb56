"""What can go wrong with the local stack."""


class StackError(Exception):
    """The local stack cannot do what was asked; the message is a sentence that names the fix."""
