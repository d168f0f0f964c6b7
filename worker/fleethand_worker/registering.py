"""Registers and deregisters this host: makes its keys, proves them, and keeps what it is given for that."""

import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from fleethand_common import __version__, enrolling, sealing
from fleethand_common.credentials import Credentials, Provision
from fleethand_common.enrolling import Challenge, ConfirmRequest, Enrolled, HostRequest, HostState, RegisterRequest
from fleethand_common.errors import FleethandError
from fleethand_worker import fingerprint, identity
from fleethand_worker.credentials import CredentialFiles, PendingRegistration
from fleethand_worker.registration_client import RegistrationClient, RegistrationError

_GONE = ("Registration.EnrolmentNotFound", "Registration.NotProven", "Registration.Deregistered")
"""What was begun cannot be ended; the service has forgotten it."""


class RegisteredError(FleethandError):
    """Cannot register: this host is registered already."""

    code = "AlreadyRegistered"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks for on a host."""

    url: str
    pin: str = ""
    ca: str = ""
    activation_id: str = ""
    activation_code: str = ""
    name: str = ""
    tags: dict[str, str] = {}
    machine_id: str = ""
    force: bool = False


def register(state_dir: Path, wish: Wish) -> Credentials:
    """Enrol this host, or end what an earlier try began, and return its identity, which is in its files then.

    Raises:
        RegisteredError: it has an identity, and *wish* does not say that it may go.
        RegistrationError: the service refuses, cannot be reached, or is another one.
    """
    files = CredentialFiles(state_dir)
    if files.exists() and not wish.force:
        raise RegisteredError(
            f"cannot register: this host is {files.load().instance_id} already; run `fleethand-worker deregister`"
            " first, or register with --force to give that identity up"
        )
    client = RegistrationClient(wish.url, pin=wish.pin, ca=wish.ca)
    begun = files.pending()
    if begun is not None and begun.url == wish.url and wish.activation_id in ("", begun.activation_id):
        try:
            return _confirm(state_dir, files, client, begun)
        except RegistrationError as error:
            if error.code not in _GONE:
                raise
    files.drop_pending()
    if not (wish.activation_id and wish.activation_code):
        raise RegistrationError(
            "MissingActivation",
            "cannot register without an activation: give --activation-id, and its code in FLEETHAND_ACTIVATION_CODE"
            " or by --activation-code-file; an operator makes both with `fleethand activation create`",
        )
    return _confirm(state_dir, files, client, _begin(files, client, wish))


def deregister(state_dir: Path, *, only_here: bool = False, keep_journal: bool = False) -> str:
    """End this host's enrolment and forget who it was; returns the instance id that it had.

    Args:
        only_here: tell nobody; the control plane goes on to know the instance.

    Raises:
        RegistrationError: the service cannot be told; nothing was forgotten.
    """
    files = CredentialFiles(state_dir)
    credentials = files.load()
    if credentials.registration_url and not only_here:
        try:
            tell(credentials, "deregister", client_of(credentials))
        except RegistrationError as error:
            if error.code != "Registration.Deregistered":
                raise
    files.remove()
    if not keep_journal:
        _forget_executions(state_dir)
    return credentials.instance_id


def client_of(credentials: Credentials, *, attempts: int = 3, timeout_s: float = 10.0) -> RegistrationClient:
    """Return the way to the service that enrolled this host."""
    return RegistrationClient(
        credentials.registration_url,
        pin=credentials.registration_pin,
        ca=credentials.registration_ca,
        attempts=attempts,
        timeout_s=timeout_s,
    )


def tell(credentials: Credentials, purpose: enrolling.Purpose, client: RegistrationClient) -> HostState:
    """Ask the service something that only this host can ask."""
    pair = sealing.pair_keys(credentials.box_secret, credentials.control_public)
    path = enrolling.DEREGISTER_PATH if purpose == "deregister" else enrolling.STATUS_PATH
    sealed = enrolling.prove(pair.up, purpose, credentials.instance_id)
    return client.ask(path, HostRequest(instance_id=credentials.instance_id, sealed=sealed), HostState)


def _begin(files: CredentialFiles, client: RegistrationClient, wish: Wish) -> PendingRegistration:
    own = sealing.new_box_keys()
    machine_id, taken = wish.machine_id or fingerprint.machine_id(), fingerprint.take()
    request = RegisterRequest(
        activation_id=wish.activation_id,
        activation_code=wish.activation_code,
        box_public=own.public,
        machine_id=machine_id,
        machine_id_given=bool(wish.machine_id),
        force=wish.force,
        fingerprint=taken,
        name=wish.name,
        tags=wish.tags,
        hostname=identity.host_name(),
        intranet_ip=_own_address(wish.url),
        os_type=identity.os_type(),
        os_version=identity.os_version(),
        worker_version=__version__,
    )
    challenge = client.ask(enrolling.REGISTER_PATH, request, Challenge)
    pending = PendingRegistration(
        url=wish.url,
        pin=wish.pin,
        ca=wish.ca,
        activation_id=wish.activation_id,
        enrolment_id=challenge.enrolment_id,
        box_secret=own.secret,
        control_public=challenge.control_public,
        nonce=_opened(challenge.sealed, own.secret, challenge.control_public),
        machine_id=machine_id,
        fingerprint=taken,
    )
    files.write_pending(pending)
    return pending


def _confirm(
    state_dir: Path, files: CredentialFiles, client: RegistrationClient, pending: PendingRegistration
) -> Credentials:
    pair = sealing.pair_keys(pending.box_secret, pending.control_public)
    proof = enrolling.prove(pair.up, "confirm", pending.enrolment_id, pending.nonce)
    request = ConfirmRequest(enrolment_id=pending.enrolment_id, sealed=proof)
    answer = client.ask(enrolling.CONFIRM_PATH, request, Enrolled)
    grant = enrolling.decode_grant(_opened(answer.sealed, pending.box_secret, pending.control_public))
    credentials = Credentials(
        instance_id=grant.instance_id,
        box_secret=pending.box_secret,
        control_public=pending.control_public,
        redis_url=grant.redis_url,
        enrolled_at_ms=grant.enrolled_at_ms,
        name=grant.name,
        tags=grant.tags,
        activation_id=pending.activation_id,
        registration_url=pending.url,
        registration_pin=pending.pin,
        registration_ca=pending.ca,
        machine_id=pending.machine_id,
        fingerprint=pending.fingerprint,
    )
    if not files.exists() or files.load().instance_id != grant.instance_id:
        _forget_executions(state_dir)  # of whoever was here before; nobody would take their reports
    files.install(Provision(credentials=credentials, keys=grant.keys))
    files.drop_pending()
    return credentials


def _opened(sealed: bytes, secret: bytes, control_public: bytes) -> bytes:
    try:
        return sealing.open_sealed(sealed, sealing.pair_keys(secret, control_public).down)
    except sealing.SealError as error:
        raise RegistrationError("BadAnswer", f"cannot open what the registration service sealed: {error}") from error


def _forget_executions(state_dir: Path) -> None:
    shutil.rmtree(state_dir / "executions", ignore_errors=True)


def _own_address(url: str) -> str:
    """Return the address by which this host reaches the service; no packet is sent."""
    parts = urlsplit(url)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((parts.hostname or "", parts.port or 443))
            address: str = probe.getsockname()[0]
            return address
    except OSError:
        return ""
