"""Verbs about the keys that sign orders."""

from collections.abc import Sequence

from fleethand_common import clock
from fleethand_dispatcher import rotation
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.keyring import Keyring, KeyringError, SigningKey
from fleethand_dispatcher.store import Store
from fleethand_dispatcher.trust_models import SigningKeyRecord

STARTS_IN_S = 30
"""So long hosts have to learn of a new key before it signs."""
_NEVER = 2**63
"""A number that no directive reaches."""


class SigningKeyVerbs:
    """What an operator does about keys; their secrets are in no answer."""

    _store: Store
    _keyring: Keyring
    _directives: Directives

    @guarded
    def describe_signing_keys(self) -> list[SigningKeyRecord]:
        """List the keys, with how many hosts know each: from their enrolment, or by the directive that they follow."""
        return self._described_keys()

    def _described_keys(self) -> list[SigningKeyRecord]:
        self._keyring.refresh()
        signs = self._signs_now()
        enrolled = {host.instance_id: host.enrolled_at_ms for host in self._store.hosts.all()}
        follows = {facts.instance_id: facts.directive_sequence for facts in self._store.instances.facts()}
        first = self._directives.first_sequences()
        return [
            self._shown(
                key,
                is_signing=key.key.key_id == signs,
                hosts=sum(
                    at_ms >= key.key.not_before_ms or follows.get(name, 0) >= first.get(key.key.key_id, _NEVER)
                    for name, at_ms in enrolled.items()
                ),
                enrolled=len(enrolled),
            )
            for key in sorted(self._keyring.signing_keys, key=lambda key: key.key.not_before_ms)
        ]

    @guarded
    def rotate_signing_key(
        self, name: str, *, starts_in_s: int = STARTS_IN_S, signer_command: Sequence[str] = ()
    ) -> SigningKeyRecord:
        """Make a new key, tell all hosts, and sign with it from *starts_in_s* on; the old one stays good.

        Args:
            signer_command: the program that holds the key; without it, it is a file of the keys' folder.

        Raises:
            KeyringError: the name is taken or cannot be used, or no key can sign now.
            SignerError: the signer command does not do what it must.
        """
        self._keyring.refresh()
        made = rotation.rotate(
            self._keyring,
            self._directives,
            name=name,
            now_ms=self._store.now_ms(),
            starts_in_s=starts_in_s,
            command=signer_command,
        )
        return self._of(made)

    @guarded
    def revoke_signing_key(self, name: str, *, force: bool = False) -> SigningKeyRecord:
        """Have every host take nothing any more that this key signed, also what it signed before and still waits.

        Args:
            force: revoke even the last usable key, after which every host has to be enrolled anew.

        Raises:
            KeyringError: there is no such key, or no other one that could sign.
        """
        self._keyring.refresh()
        now_ms = self._store.now_ms()
        return self._of(rotation.revoke(self._keyring, self._directives, name=name, now_ms=now_ms, force=force))

    def _of(self, key: SigningKey) -> SigningKeyRecord:
        return next(record for record in self._described_keys() if record.key_id == key.key.key_id)

    def _signs_now(self) -> str:
        try:
            return self._keyring.signer(self._store.now_ms()).key.key_id
        except KeyringError:
            return ""

    def _shown(self, key: SigningKey, *, is_signing: bool, hosts: int, enrolled: int) -> SigningKeyRecord:
        public = key.key
        return SigningKeyRecord(
            name=public.name,
            key_id=public.key_id,
            not_before_time=clock.to_datetime(public.not_before_ms),
            revoked_time=None if public.revoked_at_ms is None else clock.to_datetime(public.revoked_at_ms),
            signs=is_signing,
            signer_command=bool(key.command),
            hosts=hosts,
            hosts_enrolled=enrolled,
        )
