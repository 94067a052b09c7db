"""Name everything that can go wrong, in one tree.

HeadgateError                 what, where and what to do, as one message
├── InputError                something that a person or another program gave us is unusable
│   ├── ConfigError           YAML, environment or flag
│   ├── TraceError            a trace or series file
│   ├── ArtifactError         a profile artifact
│   └── StateError            a cluster-state or journal file
├── ObserveError              a source of observations failed; the tick holds
├── MeasureError              a way of measuring broke down; the sweep stops and can be resumed
├── ClusterError              a Kubernetes API server refused or did not answer
│   └── OutOfTimeError        it was not asked any more: the time that a tick has for it was up
└── InfeasibleError           no layout at hand can do it, whatever the replica count
"""


class HeadgateError(Exception):
    """Carry a message for a person: what went wrong, where, and what to do about it."""


class InputError(HeadgateError):
    """Report input that cannot be used."""


class ConfigError(InputError):
    """Report a configuration that is wrong; names the file, the key and the nearest known key."""


class TraceError(InputError):
    """Report a trace or series file that cannot be read."""


class ArtifactError(InputError):
    """Report a profile artifact that is damaged, of another model or of a newer schema."""


class StateError(InputError):
    """Report a cluster-state or journal file that cannot be read."""


class ObserveError(HeadgateError):
    """Report a source of observations that did not answer usably."""


class MeasureError(HeadgateError):
    """Report a measurement that broke down: an endpoint that went away, a cluster that refuses."""


class InfeasibleError(HeadgateError):
    """Report what no layout at hand can do: a model that fits none."""


class ClusterError(HeadgateError):
    """Report what a Kubernetes API server refused, with its HTTP `status`; 0 where it did not answer."""

    def __init__(self, message: str, status: int = 0, retry_after_s: float | None = None) -> None:
        """Keep the status beside the message: 403 forbidden, 404 absent, 409 conflict, 422 invalid.

        `retry_after_s` is how long the server asks to be left alone (429, 503); `None` where it does not.
        """
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class OutOfTimeError(ClusterError):
    """Report that a Kubernetes API server was not asked: the time that a tick has for it was up."""
