"""What a host is given when it is enrolled, as it stands in the host's own files and travels to it."""

import msgspec

from fleethand_common.signing import PublicKey

PROVISION_FILE = "provision.json"
"""In a worker's state folder: an identity that somebody put there; the worker takes it in when it starts."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host's identity; `box_secret` was made on the host where it enrolled itself, and never left it.

    Times are milliseconds since 1970 on the control plane's clock.
    """

    instance_id: str
    box_secret: bytes
    control_public: bytes
    """The control plane's key for sealing."""
    redis_url: str
    """With the user and password of this host alone."""
    enrolled_at_ms: int
    name: str = ""
    tags: dict[str, str] = {}
    activation_id: str = ""
    """Empty for a host that an operator provisioned."""
    registration_url: str = ""
    """Of the service that enrolled this host; empty for one that an operator provisioned."""
    registration_pin: str = ""
    """SHA-256 of that service's certificate, if it was pinned."""
    registration_ca: str = ""
    """File of the authorities that it is checked with, if not the system's."""
    machine_id: str = ""
    fingerprint: str = ""
    """Of the machine, as it was last seen; see `fingerprints`."""


class Provision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a host needs to start: its identity, and whom to trust."""

    credentials: Credentials
    keys: list[PublicKey]


encode_provision = msgspec.json.Encoder().encode
decode_provision = msgspec.json.Decoder(Provision).decode
decode_credentials = msgspec.json.Decoder(Credentials).decode
decode_public_key = msgspec.json.Decoder(PublicKey).decode
