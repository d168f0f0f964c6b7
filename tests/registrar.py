"""A real registration service, and hosts that speak to it by hand."""

import http.client
import json
import ssl
from typing import Any, NamedTuple

import msgspec

from fleethand_common import enrolling, sealing
from fleethand_common.enrolling import (
    Challenge,
    ConfirmRequest,
    Enrolled,
    Grant,
    HostRequest,
    HostState,
    RegisterRequest,
)
from fleethand_common.sealing import BoxKeys, PairKeys
from fleethand_dispatcher.keyring import Keyring
from fleethand_dispatcher.models import NewActivation
from fleethand_worker.registration_client import RegistrationClient
from processes import BIN, Program, Programs
from servers import free_port


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """Return the code of a refusal."""
        return str(self.body.get("code", ""))


class Registrar:
    """A registration service that runs."""

    def __init__(self, programs: Programs, redis_url: str, keyring: Keyring, **settings: object) -> None:
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        values = {
            "redis_url": redis_url,
            "keys_dir": keyring.folder,
            "registrar_address": "127.0.0.1",
            "registrar_port": self.port,
            "registrar_url": self.url,
            "registrar_failure_delay_s": 0.01,
            **settings,
        }
        environ = {f"FLEETHAND_{name.upper()}": str(value) for name, value in values.items()}
        self.program: Program = programs.start(BIN / "fleethand", "registrar", name="registrar", environ=environ)
        log = self.program.wait_for_output("event=listening")
        self.pin = next(word for word in log.split() if word.startswith("pin=")).removeprefix("pin=")

    def client(self, **options: Any) -> RegistrationClient:
        """Return the way that hosts take to it."""
        return RegistrationClient(self.url, **{"pin": self.pin, "attempts": 1, **options})

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """Send anything and return the answer, whatever it is."""
        data = body if isinstance(body, bytes) else enrolling.encode(body)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        try:
            connection.request("POST", path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            return Answer(response.status, json.loads(text) if text else {})
        finally:
            connection.close()


class HandHost:
    """A host whose every step a test takes."""

    def __init__(self, registrar: Registrar, activation: NewActivation, **facts: Any) -> None:
        self.registrar = registrar
        self.own: BoxKeys = sealing.new_box_keys()
        self.request = RegisterRequest(
            **{
                "activation_id": activation.activation_id,
                "activation_code": activation.activation_code,
                "box_public": self.own.public,
                "hostname": "played",
                **facts,
            }
        )
        self.challenge: Challenge | None = None

    @property
    def pair(self) -> PairKeys:
        """Return the keys that it shares with the control plane."""
        assert self.challenge is not None
        return sealing.pair_keys(self.own.secret, self.challenge.control_public)

    def register(self, headers: dict[str, str] | None = None) -> Answer:
        """Register, and keep the challenge."""
        answer = self.registrar.post(enrolling.REGISTER_PATH, self.request, headers)
        if answer.status == 200:
            self.challenge = msgspec.convert(answer.body, Challenge)
        return answer

    def proof(self) -> ConfirmRequest:
        """Return what proves this host's key."""
        assert self.challenge is not None
        nonce = sealing.open_sealed(self.challenge.sealed, self.pair.down)
        sealed = enrolling.prove(self.pair.up, "confirm", self.challenge.enrolment_id, nonce)
        return ConfirmRequest(enrolment_id=self.challenge.enrolment_id, sealed=sealed)

    def confirm(self) -> Answer:
        """Prove the key."""
        return self.registrar.post(enrolling.CONFIRM_PATH, self.proof())

    def grant(self, answer: Answer) -> Grant:
        """Open what the host was given."""
        sealed = msgspec.convert(answer.body, Enrolled).sealed
        return enrolling.decode_grant(sealing.open_sealed(sealed, self.pair.down))

    def enrolled(self) -> Grant:
        """Take every step."""
        assert self.register().status == 200
        return self.grant(self.confirm())

    def tell(self, path: str, purpose: enrolling.Purpose, instance_id: str) -> Answer:
        """Ask for something as an enrolled host."""
        sealed = enrolling.prove(self.pair.up, purpose, instance_id)
        return self.registrar.post(path, HostRequest(instance_id=instance_id, sealed=sealed))

    def deregister(self, instance_id: str) -> HostState:
        """End the enrolment."""
        return msgspec.convert(self.tell(enrolling.DEREGISTER_PATH, "deregister", instance_id).body, HostState)
