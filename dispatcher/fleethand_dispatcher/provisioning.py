"""Provisions a host where there is no registration service: an operator carries its identity there."""

from collections.abc import Mapping
from typing import Any

from pydantic import field_validator

from fleethand_common import ids
from fleethand_common.credentials import Provision
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.enrolling_requests import check_tags
from fleethand_dispatcher.enrolment import Enrolment
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.redis_users import RedisUsers
from fleethand_dispatcher.requests import Request, parse
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store


class ProvisionRequest(Request):
    """A host to be enrolled on its behalf."""

    instance_id: str
    name: str = ""
    tags: Mapping[str, str] = {}

    @field_validator("instance_id")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        if not ids.is_instance_id(value):
            raise refusal(
                "InvalidInstanceId.Malformed", f"Cannot use {value!r}: 1 to 64 letters, digits, '.', '_' and '-'."
            )
        return value

    @field_validator("tags")
    @classmethod
    def _tags_fit(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        return check_tags(value)


class Provisioning:
    """Makes identities for hosts, each with a Redis user of its own."""

    def __init__(self, store: Store, keyring: Keyring, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._enrolment = Enrolment(keyring, store.hosts)

    def provision(self, values: Mapping[str, Any]) -> Provision:
        """Enrol a host; one that was enrolled under this id before is not any more."""
        request = parse(ProvisionRequest, values)
        with RedisUsers.of(self._settings) as users:
            user = users.create_host(request.instance_id)
            users.save()
        return self._enrolment.provision(
            request.instance_id,
            redis_url=user.url(self._settings.hosts_redis_url or self._settings.redis_url),
            at_ms=self._store.now_ms(),
            name=request.name,
            tags=request.tags,
            redis_user=user.user,
        )
