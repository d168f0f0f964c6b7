"""Whether this is the machine that the identity was made for: a copied disk must not speak with two mouths."""

import logging

import msgspec

from fleethand_common import fingerprints
from fleethand_common.credentials import Credentials
from fleethand_common.errors import FleethandError
from fleethand_worker import fingerprint
from fleethand_worker.credentials import CredentialFiles

logger = logging.getLogger(__name__)


class OtherMachineError(FleethandError):
    """Cannot start: the identity in the state folder belongs to another machine."""

    code = "OtherMachine"


def check(files: CredentialFiles, credentials: Credentials, *, accept: bool) -> Credentials:
    """Return the identity with this machine's fingerprint of now, which is kept for the next start.

    Args:
        accept: take this machine for the one that it was, whatever it looks like.

    Raises:
        OtherMachineError: it is another one.
    """
    before, now = credentials.fingerprint, fingerprint.take()
    if before and not fingerprints.same_machine(before, now):
        changed = ", ".join(fingerprints.differences(before, now))
        if not accept:
            raise OtherMachineError(
                f"cannot start as {credentials.instance_id}: this is another machine than the one that was enrolled"
                f" (other {changed}). If its disk was copied, give this one an identity of its own with"
                " `fleethand-worker register --force` and a new activation; if it is the same host with new hardware,"
                " start it once with --accept-machine"
            )
        logger.warning("event=machine_accepted instance=%s changed=%s", credentials.instance_id, changed)
    if before == now:
        return credentials
    current = msgspec.structs.replace(credentials, fingerprint=now)
    files.write_identity(current)
    return current
