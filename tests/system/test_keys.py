"""Changing the keys that sign, while commands run: no gap, no trust left behind, and no secret anywhere."""

import threading
from pathlib import Path

import pytest

from fleet import Fleet
from fleethand_common.states import InvocationStatus
from fleethand_dispatcher import Dispatcher
from fleethand_dispatcher.keyring import KeyringError
from processes import BIN
from waiting import wait_until

SIGNER = f'''#!{BIN / "python"}
"""Holds a seed of its own and signs what it is told to."""
import base64, pathlib, sys
from nacl import bindings
public, secret = bindings.crypto_sign_seed_keypair(pathlib.Path(__file__).with_suffix(".seed").read_bytes())
for line in sys.stdin:
    text = line.strip()
    answer = public if text == "public" else bindings.crypto_sign(base64.b64decode(text), secret)[:64]
    print(base64.b64encode(answer).decode(), flush=True)
'''


def test_rotation_leaves_no_gap_under_load(fleet: Fleet) -> None:
    """Every command that is sent meanwhile, by a process that knew the old key only, starts once and succeeds."""
    fleet.started("host-1", "host-2")
    stop, statuses = threading.Event(), []

    def load() -> None:
        with Dispatcher(settings=fleet.settings) as other:
            while not stop.is_set():
                invocation = other.run_command(command_content="true", all_instances=True)
                statuses.append(invocation.wait(30).invocation_status)

    sender = threading.Thread(target=load)
    sender.start()
    wait_until(lambda: len(statuses) > 5, 30, "some commands before")
    made = fleet.dispatcher.rotate_signing_key("second", starts_in_s=1)
    wait_until(lambda: signing(fleet) == "second", 20, "the new key signs")
    before = len(statuses)
    wait_until(lambda: len(statuses) > before + 10, 30, "some commands after")
    fleet.dispatcher.revoke_signing_key("first")
    after = len(statuses)
    wait_until(lambda: len(statuses) > after + 10, 30, "some commands after the revocation")
    stop.set()
    sender.join(60)

    assert set(statuses) == {InvocationStatus.SUCCESS}
    assert (made.name, made.hosts_enrolled) == ("second", 2)
    wait_until(lambda: known(fleet, "second") == 2, 20, "both hosts tell that they know it")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (fleet.keyring.folder / "signing").iterdir())


def signing(fleet: Fleet) -> str:
    """Return the name of the key that signs now."""
    return next((key.name for key in fleet.dispatcher.describe_signing_keys() if key.signs), "")


def known(fleet: Fleet, name: str) -> int:
    """Return how many hosts know a key."""
    return next(key.hosts for key in fleet.dispatcher.describe_signing_keys() if key.name == name)


def test_host_that_was_away_during_the_rotation_takes_orders_of_the_new_key(fleet: Fleet) -> None:
    """It learns of it from a directive that the old key signed, although that one is revoked by now."""
    fleet.started("host-1")
    fleet.workers["host-1"].stop()
    fleet.dispatcher.rotate_signing_key("second", starts_in_s=0)
    fleet.dispatcher.revoke_signing_key("first")

    fleet.worker("host-1")
    fleet.wait_online("host-1")

    assert fleet.outcome(fleet.run("echo fine")).output == "fine\n"
    assert signing(fleet) == "second"


def test_last_usable_key_is_not_revoked_by_mistake(fleet: Fleet) -> None:
    """Nothing could be signed any more; with force it is, and then nothing is."""
    with pytest.raises(KeyringError, match="no other key is valid now"):
        fleet.dispatcher.revoke_signing_key("first")

    fleet.dispatcher.revoke_signing_key("first", force=True)

    wait_until(lambda: signing(fleet) == "", 10, "no key signs")


def test_signer_command_signs_from_end_to_end_and_its_seed_is_nowhere_else(fleet: Fleet, tmp_path: Path) -> None:
    """The folder of keys holds the program's name and the public half only; hosts run what it signed."""
    script = tmp_path / "signer.py"
    script.write_text(SIGNER)
    script.chmod(0o700)
    seed = bytes(range(32))
    script.with_suffix(".seed").write_bytes(seed)
    fleet.started("host-1")

    made = fleet.dispatcher.rotate_signing_key("hardware", starts_in_s=0, signer_command=[str(script)])
    fleet.dispatcher.revoke_signing_key("first")

    assert (made.signer_command, signing(fleet)) == (True, "hardware")
    assert fleet.outcome(fleet.run("echo fine")).output == "fine\n"
    for path in fleet.keyring.folder.rglob("*"):
        assert path.is_dir() or seed not in path.read_bytes()
    assert '"seed": ""' in (fleet.keyring.folder / "signing" / "hardware.json").read_text()
