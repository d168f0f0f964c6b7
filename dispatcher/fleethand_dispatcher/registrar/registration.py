"""What the registration service decides: who may enrol, as whom, and when that holds."""

import logging
import os
import threading

import msgspec

from fleethand_common import enrolling, fingerprints, ids, sealing
from fleethand_common.enrolling import (
    Challenge,
    ConfirmRequest,
    Enrolled,
    Grant,
    HostRequest,
    HostState,
    RegisterRequest,
)
from fleethand_common.sealing import PairKeys, SealError
from fleethand_dispatcher import activation_codes
from fleethand_dispatcher.activation_records import StoredActivation
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.audit import AuditEvent
from fleethand_dispatcher.enrolling_requests import check_instance_name, check_tags
from fleethand_dispatcher.enrolment import Enrolment
from fleethand_dispatcher.host_records import EnrolledHost, HostFacts
from fleethand_dispatcher.keyring import Keyring, KeyringError
from fleethand_dispatcher.managed_instances import ManagedInstances
from fleethand_dispatcher.pending_records import PendingEnrolment, PendingRecords
from fleethand_dispatcher.redis_users import RedisUser, RedisUsers
from fleethand_dispatcher.registrar.source import Address, is_within
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

logger = logging.getLogger(__name__)

_NONCE_BYTES = 32
_SERIAL_DIGITS = 3


class Registration:
    """Enrols hosts and ends enrolments; each method may be called by any thread."""

    def __init__(self, store: Store, users: RedisUsers, keyring: Keyring, settings: Settings) -> None:
        if not keyring.public_keys():
            raise KeyringError(
                f"cannot enrol hosts: {keyring.folder} has no public/<name>.json that tells them whose orders to trust;"
                " copy the folder public/ from where the signing keys are"
            )
        self._store = store
        self._keyring = keyring
        self._settings = settings
        self._enrolment = Enrolment(keyring, store.hosts)
        self._pending = PendingRecords(store.client, store.vault)
        self._managed = ManagedInstances(store, settings)
        self._users = UserFile(users)

    def now_ms(self) -> int:
        """Return the control plane's time; also shows that the records answer."""
        return self._store.now_ms()

    def register(self, request: RegisterRequest, source: Address) -> Challenge:
        """Look at a registration, and ask the host to prove its key; nothing is enrolled yet.

        Raises:
            RequestError: with the reason; why the id and the code do not fit is not told.
        """
        stored = self._identified(request, source)
        self._check_open(stored, source)
        (used,) = self._store.activations.uses([stored.activation_id])
        if used.registered >= stored.instance_count:
            raise refusal("Registration.UsedUp", f"It was for {stored.instance_count}; create another one.")
        if request.name:
            check_instance_name(request.name)
        check_tags({**request.tags, **stored.tags})
        pair = self._pair(request)
        pending = PendingEnrolment(
            enrolment_id=ids.new_id(ids.ENROLMENT_PREFIX),
            request=msgspec.structs.replace(request, activation_code=""),
            internet_ip=str(source),
            nonce=os.urandom(_NONCE_BYTES),
            instance_id=self._known_as(request) or ids.new_id(ids.MANAGED_PREFIX),
        )
        self._pending.save(pending, self._settings.registrar_pending_s)
        return Challenge(
            enrolment_id=pending.enrolment_id,
            control_public=self._keyring.box.public,
            sealed=sealing.seal(pending.nonce, pair.down),
        )

    def confirm(self, request: ConfirmRequest, source: Address) -> Enrolled:
        """Enrol a host that proves its key, and return what only it can open; a second time is answered alike.

        Raises:
            RequestError: with the reason.
        """
        pending = self._pending.read(request.enrolment_id)
        if pending is None:
            raise refusal("Registration.EnrolmentNotFound", "Register again.")
        pair = self._pair(pending.request)
        if not enrolling.is_proof(request.sealed, pair.up, "confirm", pending.enrolment_id, pending.nonce):
            raise refusal("Registration.NotProven", "Register again.")
        answer = self._pending.answer(pending.enrolment_id)
        if answer is not None:
            return self._again(pending, answer)
        stored = self._store.activations.read(pending.request.activation_id)
        if stored is None:
            raise refusal("Registration.Disabled", "It was deleted.")
        self._check_open(stored, source)
        state, serial = self._pending.claim(pending, stored.instance_count)
        match state:
            case "claimed":
                try:
                    return self._enrol(pending, stored, pair, _name(pending.request, stored, serial))
                except Exception:
                    self._pending.release(pending.enrolment_id)  # the next try need not wait for this one
                    raise
            case "used up":
                raise refusal("Registration.UsedUp", f"It was for {stored.instance_count}; create another one.")
            case "gone":
                raise refusal("Registration.EnrolmentNotFound", "Register again.")
            case _:
                raise refusal("Registration.Busy", "Confirm it again in a moment.")

    def deregister(self, request: HostRequest, source: Address) -> HostState:
        """End the enrolment of a host that proves its key."""
        host = self._proven(request, "deregister")
        # before it happens: nobody could tell it when a call that failed is carried on by the next one
        self._store.audit.append(
            AuditEvent(
                action="host.deregistered", actor=host.instance_id, targets=[host.instance_id], source=str(source)
            )
        )
        self._managed.deregister(host.instance_id)
        return HostState(instance_id=host.instance_id, enrolled=False)

    def status(self, request: HostRequest) -> HostState:
        """Tell a host that proves its key that it is enrolled; any other is refused."""
        return HostState(instance_id=self._proven(request, "status").instance_id, enrolled=True)

    def _identified(self, request: RegisterRequest, source: Address) -> StoredActivation:
        """Return the activation whose code this is; takes as long if there is none."""
        is_id = activation_codes.is_id(request.activation_id)
        stored = self._store.activations.read(request.activation_id) if is_id else None
        if activation_codes.fits(request.activation_code, stored.code_digest if stored else None) and stored:
            return stored
        if stored and not stored.disabled and is_within(source, stored.ip_address_range):
            self._count_failure(stored, source)
        logger.warning("event=registration_refused source=%s reason=wrong-code", source)
        raise refusal("Registration.Refused", "Check both, or create another activation.")

    def _count_failure(self, stored: StoredActivation, source: Address) -> None:
        """Count a wrong code; one too many ends the activation, as somebody is guessing."""
        failures = self._store.activations.count_failure(stored.activation_id)
        if failures < self._settings.registrar_failures_max:
            return
        logger.error("event=activation_locked activation=%s failures=%d", stored.activation_id, failures)
        self._store.audit.append(
            AuditEvent(
                action="activation.locked",
                actor="registrar",
                outcome="alert",
                targets=[stored.activation_id],
                source=str(source),
                detail=f"{failures} wrong codes; it is disabled now",
            )
        )
        self._store.activations.disable(stored.activation_id)  # after it is told: a code that comes now is not counted

    def _check_open(self, stored: StoredActivation, source: Address) -> None:
        if stored.disabled:
            raise refusal("Registration.Disabled", "Create another one.")
        if self._store.now_ms() >= stored.expires_at_ms:
            raise refusal("Registration.Expired", f"It was for {stored.ttl_h} hours; create another one.")
        if not is_within(source, stored.ip_address_range):
            logger.warning("event=registration_refused source=%s reason=address", source)
            raise refusal("Registration.AddressNotAllowed", f"It is for {stored.ip_address_range}, not {source}.")
        if self._store.hosts.count() >= self._settings.managed_instances_max:
            raise refusal("ManagedInstanceCountExceedLimit", limit=self._settings.managed_instances_max)

    def _pair(self, request: RegisterRequest) -> PairKeys:
        try:
            return sealing.pair_keys(self._keyring.box.secret, request.box_public)
        except SealError as error:
            raise refusal("Registration.Malformed", f"The public key is none: {error}.") from None

    def _known_as(self, request: RegisterRequest) -> str:
        """Return the instance whose identity a machine takes over; only if it asks for that (spec 12.4).

        A machine is the one that it was if an operator names its machine id, or if its fingerprint says so: a copy of
        a disk, which has the same machine id, becomes an instance of its own.
        """
        if not request.force or not request.machine_id:
            return ""
        before = [
            host
            for host in self._store.hosts.on_machine(request.machine_id)
            if request.machine_id_given or fingerprints.same_machine(host.facts.fingerprint, request.fingerprint)
        ]
        if not before:
            return ""
        newest = max(before, key=lambda host: host.enrolled_at_ms)
        (seen,) = self._store.instances.seen([newest.instance_id])
        if seen is not None and self._store.now_ms() - seen < self._settings.online_within_s * 1000:
            way = f"stop its worker and wait {self._settings.online_within_s} s, or deregister it"
            raise refusal("Registration.MachineRegistered", f"{newest.instance_id} is connected: {way}.")
        return newest.instance_id

    def _enrol(self, pending: PendingEnrolment, stored: StoredActivation, pair: PairKeys, name: str) -> Enrolled:
        request, at_ms = pending.request, self._store.now_ms()
        user = self._users.create(pending.instance_id)
        host = self._enrolment.enrol(
            pending.instance_id,
            request.box_public,
            at_ms=at_ms,
            name=name,
            tags={**request.tags, **stored.tags},
            activation_id=stored.activation_id,
            redis_user=user.user,
            facts=_facts(pending),
        )
        grant = Grant(
            instance_id=host.instance_id,
            redis_url=user.url(self._settings.hosts_redis_url or self._settings.redis_url),
            enrolled_at_ms=at_ms,
            name=host.name,
            tags=host.tags,
            keys=self._keyring.public_keys(),
        )
        self._store.audit.append(
            AuditEvent(
                action="host.registered",
                actor=stored.activation_id,
                targets=[host.instance_id],
                source=pending.internet_ip,
            )
        )
        # last of all: from then on a host that asks again is only given this answer
        sealed = sealing.seal(enrolling.encode(grant), pair.down)
        self._pending.settle(pending.enrolment_id, sealed, self._settings.registrar_pending_s)
        logger.info("event=registered instance=%s activation=%s", host.instance_id, stored.activation_id)
        return Enrolled(sealed=sealed)

    def _again(self, pending: PendingEnrolment, answer: bytes) -> Enrolled:
        """Give a host the answer that it did not get, unless that enrolment is over."""
        (host,) = self._store.hosts.read([pending.instance_id])
        if host is None or host.box_public != pending.request.box_public:
            raise refusal("Registration.Deregistered", "Register again.")
        return Enrolled(sealed=answer)

    def _proven(self, request: HostRequest, purpose: enrolling.Purpose) -> EnrolledHost:
        known = self._store.hosts.read([request.instance_id]) if ids.is_instance_id(request.instance_id) else [None]
        host = known[0]
        if host is None:
            raise refusal("Registration.Deregistered", f"{request.instance_id[:64]!r} is not enrolled.")
        if not enrolling.is_proof(request.sealed, host.up, purpose, host.instance_id):
            raise refusal("Registration.NotProven", "It was not sealed under this instance's key.")
        return host


class UserFile:
    """Makes Redis users and has the server keep them: those that come at the same time in one go."""

    def __init__(self, users: RedisUsers) -> None:
        self._users = users
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._made = 0
        self._kept = 0

    def create(self, instance_id: str) -> RedisUser:
        """Make a user that outlives a restart of the server, if the server has a file for that."""
        user = self._users.create_host(instance_id)
        with self._counting:
            self._made += 1
            mine = self._made
        with self._lock:
            if self._kept < mine:
                covered = self._made
                self._users.save()
                self._kept = covered
        return user


def _name(request: RegisterRequest, stored: StoredActivation, serial: int) -> str:
    """Return what an instance is called: as it asks, else `<prefix>-001`, else its hostname (spec 12.1)."""
    if request.name or not stored.name_prefix:
        return request.name or request.hostname
    digits = max(_SERIAL_DIGITS, len(str(stored.instance_count)))
    return f"{stored.name_prefix}-{serial:0{digits}d}"


def _facts(pending: PendingEnrolment) -> HostFacts:
    request = pending.request
    return HostFacts(
        machine_id=request.machine_id,
        fingerprint=request.fingerprint,
        hostname=request.hostname,
        os_type=request.os_type,
        os_version=request.os_version,
        worker_version=request.worker_version,
        intranet_ip=request.intranet_ip,
        internet_ip=pending.internet_ip,
    )
