"""Creates, lists, disables and deletes activations (spec 12.1, 12.2)."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from fleethand_common import clock
from fleethand_common.errors import RequestError
from fleethand_dispatcher import activation_codes, paging, registrar_facts
from fleethand_dispatcher.activation_records import StoredActivation, Uses
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.enrolling_requests import ActivationRequest
from fleethand_dispatcher.models import Activation, NewActivation, Page
from fleethand_dispatcher.requests import parse
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

_VERB = "create_activation"


class Activations:
    """The operator's side of enrolment."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._records = store.activations
        self._settings = settings

    def create(self, values: Mapping[str, Any]) -> NewActivation:
        """Make an activation, once per client token; the answer is the only one that holds the code."""
        request = parse(ActivationRequest, values)
        self._check_bounds(request)
        if request.client_token is None:
            return self._create(request, activation_codes.new_id(), activation_codes.new_code())
        return self._create_once(request, request.client_token)

    def describe(
        self,
        *,
        activation_id: str | None,
        instance_name: str | None,
        tags: Mapping[str, str],
        max_results: int,
        next_token: str,
    ) -> Page[Activation]:
        """Return activations that fit every filter, newest first."""
        size = paging.check_size(max_results)
        start = paging.position(next_token, tuple[int, str])
        fitting = [
            stored
            for stored in self._candidates(activation_id)
            if instance_name in (None, stored.name_prefix)
            and all(stored.tags.get(key) == value for key, value in tags.items())
        ]
        fitting.sort(key=_place)
        left = [stored for stored in fitting if start is None or _place(stored) > start]
        uses = self._records.uses([stored.activation_id for stored in left[:size]])
        now_ms = self._store.now_ms()
        items = [_shown(stored, used, now_ms) for stored, used in zip(left[:size], uses, strict=True)]
        return Page(items=items, next_token=paging.token(_place(left[size - 1])) if len(left) > size else "")

    def disable(self, activation_id: str) -> Activation:
        """Have an activation enrol nobody any more; hosts that it enrolled stay."""
        stored = self._records.disable(activation_id)
        if stored is None:
            raise _unknown(activation_id)
        return _shown(stored, self._records.uses([activation_id])[0], self._store.now_ms())

    def delete(self, activation_id: str) -> Activation:
        """Forget an activation that no instance was enrolled with which still is."""
        stored = self._records.read(activation_id)
        if stored is None:
            raise _unknown(activation_id)
        (used,) = self._records.uses([activation_id])
        if user := next((host for host in self._store.hosts.all() if host.activation_id == activation_id), None):
            raise refusal("ActivationId.InUse", f"{user.instance_id} was enrolled with it: deregister it first.")
        self._records.delete(activation_id)
        return _shown(stored, used, self._store.now_ms())

    def _check_bounds(self, request: ActivationRequest) -> None:
        settings = self._settings
        if not 1 <= request.instance_count <= settings.activation_instances_max:
            limit = settings.activation_instances_max
            raise refusal("ActivationLimitation.Invalid", f"Cannot use {request.instance_count}.", limit=limit)
        if not 1 <= request.time_to_live_in_hours <= settings.activation_ttl_max_h:
            detail = f"Cannot use {request.time_to_live_in_hours} (activation_ttl_max_h)."
            raise refusal("ActivationTTL.ExceedLimit", detail, limit=settings.activation_ttl_max_h)
        if self._records.count() >= settings.activations_max:
            detail = "Delete some, or raise activations_max."
            raise refusal("ActivationCount.ExceedLimit", detail, limit=settings.activations_max)
        if self._store.hosts.count() >= settings.managed_instances_max:
            detail = "Deregister some, or raise managed_instances_max."
            raise refusal("ManagedInstanceCountExceedLimit", detail, limit=settings.managed_instances_max)

    def _create(self, request: ActivationRequest, activation_id: str, code: str) -> NewActivation:
        stored = self._records.read(activation_id)
        if stored is None:
            stored = StoredActivation(
                activation_id=activation_id,
                code_digest=activation_codes.digest(code),
                name_prefix=request.instance_name,
                description=request.description,
                instance_count=request.instance_count,
                ttl_h=request.time_to_live_in_hours,
                ip_address_range=request.ip_address_range,
                tags=dict(request.tags),
                created_at_ms=self._store.now_ms(),
            )
            self._records.create(stored)
        known = registrar_facts.read(self._store)
        return NewActivation(
            activation_id=activation_id,
            activation_code=code,
            expiration_time=clock.to_datetime(stored.expires_at_ms),
            registration_url=known.url,
            registration_pin=known.pin,
        )

    def _create_once(self, request: ActivationRequest, client_token: str) -> NewActivation:
        """Give the same answer to the same token: the code is kept with it for its day, sealed."""
        body = repr(request.model_dump(exclude={"client_token"})).encode()
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        plan = msgspec.json.encode([activation_codes.new_id(), activation_codes.new_code()])
        sealed = self._store.vault.seal_text("token", client_token, plan)
        token = self._store.claim_token(_VERB, client_token, digest, sealed)
        if token.digest != digest:
            raise refusal("IdempotentParameterMismatch", f"Token: {client_token!r}.")
        activation_id, code = msgspec.json.decode(
            self._store.vault.open_text("token", client_token, token.answer), type=tuple[str, str]
        )
        try:
            return self._create(request, activation_id, code)
        except RequestError:
            self._store.settle_token(_VERB, client_token, None)
            raise

    def _candidates(self, activation_id: str | None) -> list[StoredActivation]:
        if activation_id is None:
            return list(self._records.all())
        stored = self._records.read(activation_id)
        return [stored] if stored else []


def _place(stored: StoredActivation) -> tuple[int, str]:
    return -stored.created_at_ms, stored.activation_id


def _unknown(activation_id: str) -> RequestError:
    return refusal("ActivationId.NotFound", f"There is no activation {activation_id!r}.")


def _shown(stored: StoredActivation, used: Uses, now_ms: int) -> Activation:
    is_open = not stored.disabled and now_ms < stored.expires_at_ms
    return Activation(
        activation_id=stored.activation_id,
        instance_name=stored.name_prefix,
        description=stored.description,
        instance_count=stored.instance_count,
        registered_count=used.registered,
        deregistered_count=used.deregistered,
        time_to_live_in_hours=stored.ttl_h,
        creation_time=clock.to_datetime(stored.created_at_ms),
        expiration_time=clock.to_datetime(stored.expires_at_ms),
        disabled=stored.disabled,
        usable=is_open and used.registered < stored.instance_count,
        ip_address_range=stored.ip_address_range,
        tags=stored.tags,
    )
