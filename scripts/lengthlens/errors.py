"""The one kind of error that is meant for the person who runs the study."""


class LengthlensError(ValueError):
    """Something in the input cannot be right; the message names cause, value and cure."""
