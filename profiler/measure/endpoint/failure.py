"""Tell an answer that cannot be used from an endpoint that cannot."""


class AnswerError(Exception):
    """Carry why a point has no answer.

    `suspect` answers (server errors, broken or silent streams) may be the endpoint's end: they are tried
    again, and several points of them in a row stop the sweep. The others (a context too long, say) concern
    this point alone.
    """

    def __init__(self, reason: str, suspect: bool) -> None:
        """Take the reason as a sentence without a full stop."""
        super().__init__(reason)
        self.reason = reason
        self.suspect = suspect
