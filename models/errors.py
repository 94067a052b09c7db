"""Name everything that can go wrong, in one tree.

HeadgateError                 what, where and what to do, as one message
├── InputError                something that a person or another program gave us is unusable
│   ├── ConfigError           YAML, environment or flag
│   ├── TraceError            a trace or series file
│   ├── ArtifactError         a profile artifact
│   └── StateError            a cluster-state or journal file
├── ObserveError              a source of observations failed; the tick holds
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


class InfeasibleError(HeadgateError):
    """Report what no layout at hand can do: a model that fits none."""
