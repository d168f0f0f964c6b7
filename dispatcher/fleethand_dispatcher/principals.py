"""People and programs with API keys, and the policies attached to them."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from fleethand_dispatcher import policies
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.policies import Policy, PolicyDocument
from fleethand_dispatcher.policy_documents import BUILT_IN, DOCUMENTS
from fleethand_dispatcher.principal_records import ApiKey, PrincipalRecord, PrincipalRecords

KEY_PREFIX = "fh-"
_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_API_KEY = re.compile(rf"{KEY_PREFIX}({_NAME.pattern})-([0-9a-f]{{8}})-([0-9a-f]{{64}})")
_RESERVED = frozenset({"operator", "retention"})
"""Actors of the audit log that are nobody's name."""


class NewKey(NamedTuple):
    """A key that was just made: the only time that the whole of it can be read."""

    principal: str
    key_id: str
    api_key: str


class Principals:
    """Creates, changes and finds principals and policies of one server."""

    def __init__(self, records: PrincipalRecords) -> None:
        self._records = records

    def create(self, name: str, *, kind: Literal["user", "program"], policies: Sequence[str], now_ms: int) -> NewKey:
        """Make a principal with a key and return the key; it is not to be had again.

        Raises:
            RequestError: the name is taken or cannot be used, or there is no such policy.
        """
        _check_name(name, "InvalidParameter.PrincipalName")
        if name in _RESERVED or kind not in ("user", "program"):
            wrong = f"the kind {kind!r}: a principal is a user or a program" if name not in _RESERVED else repr(name)
            raise refusal("InvalidParameter.PrincipalName", f"Cannot use {wrong}.")
        self._check_policies(policies)
        made, key = _new_key(name, now_ms)
        record = PrincipalRecord(
            name=name, kind=kind, policies=list(dict.fromkeys(policies)), keys=[key], created_at_ms=now_ms
        )
        if not self._records.save(record, new=True):
            raise refusal("InvalidPrincipal.Duplicate", f"There is a {name!r}; choose another name, or rotate its key.")
        return made

    def get(self, name: str) -> PrincipalRecord:
        """Return a principal, or refuse."""
        record = self._records.read(name)
        if record is None:
            raise refusal("InvalidPrincipal.NotFound", f"There is no principal {name!r}.")
        return record

    def enabled(self, name: str) -> PrincipalRecord:
        """Return a principal that may do something, or refuse."""
        return _enabled(self.get(name))

    def all(self) -> list[PrincipalRecord]:
        """Return every principal, sorted by name."""
        return self._records.all()

    def set_enabled(self, name: str, *, enabled: bool) -> PrincipalRecord:
        """Let a principal's keys count, or not."""
        return self._change(name, enabled=enabled)

    def delete(self, name: str) -> None:
        """Remove a principal and its keys."""
        if not self._records.delete(name):
            raise refusal("InvalidPrincipal.NotFound", f"There is no principal {name!r}.")

    def rotate(self, name: str, *, now_ms: int, overlap_s: int = 0) -> NewKey:
        """Make a new key; the ones before are good for *overlap_s* more seconds."""
        record = self.get(name)
        over_ms = now_ms + overlap_s * 1000
        older = [
            msgspec.structs.replace(key, not_after_ms=min(key.not_after_ms or over_ms, over_ms))
            for key in record.keys
            if overlap_s and _is_good(key, now_ms)
        ]
        made, key = _new_key(name, now_ms)
        self._change(name, keys=[*older, key])
        return made

    def attach(self, name: str, names: Sequence[str]) -> PrincipalRecord:
        """Give a principal policies."""
        self._check_policies(names)
        return self._change(name, policies=list(dict.fromkeys([*self.get(name).policies, *names])))

    def detach(self, name: str, names: Sequence[str]) -> PrincipalRecord:
        """Take policies away from a principal."""
        held = self.get(name).policies
        if missing := [policy for policy in names if policy not in held]:
            raise refusal("InvalidPolicy.NotFound", f"{name} has no policy {missing[0]!r}; it has {', '.join(held)}.")
        return self._change(name, policies=[policy for policy in held if policy not in names])

    def save_policy(self, name: str, document: str | Mapping[str, Any], *, replace: bool = False) -> PolicyDocument:
        """Keep a policy.

        Raises:
            RequestError: the document is not valid, with the place; or the name is taken and it is not to *replace*.
        """
        _check_name(name, "InvalidParameter.PolicyName")
        if name in BUILT_IN:
            raise refusal("InvalidPolicy.Duplicate", f"{name} is built in; choose another name.")
        parsed = policies.parse(document)
        text = document if isinstance(document, str) else json.dumps(document)
        if not self._records.save_policy(name, text, new=not replace):
            raise refusal("InvalidPolicy.Duplicate", f"There is a policy {name!r}; replace it, or choose another name.")
        return parsed

    def delete_policy(self, name: str) -> None:
        """Remove a policy that nobody has."""
        if name in BUILT_IN:
            raise refusal("Operation.Forbidden", f"{name} is built in; detach it where it is not wanted.")
        if users := [record.name for record in self.all() if name in record.policies]:
            raise refusal("Operation.Forbidden", f"{', '.join(users[:5])} has the policy {name}; detach it first.")
        if not self._records.delete_policy(name):
            raise refusal("InvalidPolicy.NotFound", f"There is no policy {name!r}.")

    def documents(self, name: str | None = None) -> dict[str, Mapping[str, Any]]:
        """Return every policy's document by its name, the built-in ones first, or that of the one called *name*.

        Raises:
            RequestError: there is none of that name.
        """
        kept = {known: json.loads(text) for known, text in self._records.policies().items()}
        found: dict[str, Mapping[str, Any]] = {**DOCUMENTS, **kept}
        if name is None:
            return found
        if name not in found:
            raise refusal("InvalidPolicy.NotFound", f"There is no policy {name!r}; there are {', '.join(found)}.")
        return {name: found[name]}

    def policies_of(self, names: Sequence[str]) -> list[Policy]:
        """Return policies by name.

        Raises:
            RequestError: one cannot be read, so that nobody knows what it denies.
        """
        kept = self._records.policies() if set(names) - set(BUILT_IN) else {}
        if lost := [name for name in names if name not in BUILT_IN and name not in kept]:
            raise refusal(
                "InvalidPolicy.NotFound", f"The policy {lost[0]!r} is attached and cannot be read; detach it."
            )
        return [BUILT_IN.get(name) or Policy(name, policies.parse(kept[name])) for name in names]

    def find(self, api_key: str, now_ms: int) -> PrincipalRecord:
        """Return whose key this is.

        Raises:
            RequestError: nobody's; the message does not tell what is wrong with it.
        """
        name, key_id, secret = _split(api_key)
        record = self._records.read(name) if name else None
        digest = _digest(secret)
        fits = record is not None and any(
            key.key_id == key_id and hmac.compare_digest(key.secret_digest, digest) and _is_good(key, now_ms)
            for key in record.keys
        )
        if record is None or not fits:
            shown = f"{name}-{key_id}" if name else "It is none"
            detail = f"{shown}: unknown, replaced or wrong; make one with `fleethand principal rotate`."
            raise refusal("InvalidAccessKeyId.NotFound", detail)
        return _enabled(record)

    def _change(self, name: str, **changes: Any) -> PrincipalRecord:
        changed = msgspec.structs.replace(self.get(name), **changes)
        self._records.save(changed)
        return changed

    def _check_policies(self, names: Sequence[str]) -> None:
        known = self.documents() if names else {}
        for name in names:
            if name not in known:
                raise refusal("InvalidPolicy.NotFound", f"There is no policy {name!r}; there are {', '.join(known)}.")


def _enabled(record: PrincipalRecord) -> PrincipalRecord:
    if not record.enabled:
        detail = f"{record.name} is disabled; enable it with `fleethand principal enable {record.name}`."
        raise refusal("InvalidAccessKeyId.Inactive", detail)
    return record


def _check_name(name: str, code: str) -> None:
    if not _NAME.fullmatch(name):
        bound = "1 to 64 letters, digits, '.', '_' and '-', a letter or digit first"
        raise refusal(code, f"Cannot use {name[:80]!r}: it must be {bound}.")


def _new_key(name: str, now_ms: int) -> tuple[NewKey, ApiKey]:
    key_id, secret = secrets.token_hex(4), secrets.token_hex(_SECRET_BYTES)
    made = NewKey(name, key_id, f"{KEY_PREFIX}{name}-{key_id}-{secret}")
    return made, ApiKey(key_id=key_id, secret_digest=_digest(secret), created_at_ms=now_ms)


def _split(api_key: str) -> tuple[str, str, str]:
    """Return the name, key id and secret of a key; the name is empty if it is none."""
    match = _API_KEY.fullmatch(api_key.strip())
    return (match[1], match[2], match[3]) if match else ("", "", "")


def _digest(secret: str) -> bytes:
    """Hash a secret; it is as random as a key, so that nothing slow is needed."""
    return hashlib.blake2b(secret.encode(), person=b"fleethand apikey", digest_size=32).digest()


def _is_good(key: ApiKey, now_ms: int) -> bool:
    return key.not_after_ms is None or now_ms <= key.not_after_ms
