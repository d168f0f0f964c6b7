"""Enrolling a host: agreeing on keys with it, and keeping what was agreed."""

from collections.abc import Mapping

from fleethand_common import sealing
from fleethand_common.credentials import Credentials, Provision
from fleethand_dispatcher.host_records import EnrolledHost, HostFacts, HostRecords
from fleethand_dispatcher.keyring import Keyring


class Enrolment:
    """Enrols hosts, however they come."""

    def __init__(self, keyring: Keyring, records: HostRecords) -> None:
        self._keyring = keyring
        self._records = records

    def enrol(
        self,
        instance_id: str,
        box_public: bytes,
        *,
        at_ms: int,
        name: str = "",
        tags: Mapping[str, str] | None = None,
        activation_id: str = "",
        redis_user: str = "",
        facts: HostFacts | None = None,
    ) -> EnrolledHost:
        """Agree on keys with the host that has the secret of *box_public*; what was agreed before is over.

        Raises:
            SealError: *box_public* is no usable key.
        """
        pair = sealing.pair_keys(self._keyring.box.secret, box_public)
        host = EnrolledHost(
            instance_id=instance_id,
            box_public=box_public,
            down=pair.down,
            up=pair.up,
            enrolled_at_ms=at_ms,
            name=name,
            tags=dict(tags or {}),
            activation_id=activation_id,
            redis_user=redis_user,
            facts=facts or HostFacts(),
        )
        self._records.save([host])
        return host

    def provision(
        self,
        instance_id: str,
        *,
        redis_url: str,
        at_ms: int,
        name: str = "",
        tags: Mapping[str, str] | None = None,
        redis_user: str = "",
    ) -> Provision:
        """Enrol a host on its behalf and return all that it needs; whoever carries it there must keep it secret.

        Args:
            redis_url: with the host's own user and password.
        """
        own = sealing.new_box_keys()
        self.enrol(instance_id, own.public, at_ms=at_ms, name=name, tags=tags, redis_user=redis_user)
        credentials = Credentials(
            instance_id=instance_id,
            box_secret=own.secret,
            control_public=self._keyring.box.public,
            redis_url=redis_url,
            enrolled_at_ms=at_ms,
            name=name,
            tags=dict(tags or {}),
        )
        return Provision(credentials=credentials, keys=self._keyring.public_keys())
