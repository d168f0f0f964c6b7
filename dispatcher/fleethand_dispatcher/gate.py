"""Who asks, and what they may: every verb of the `Dispatcher` passes here, by the table in `authorization.py`.

A process that holds the keyring is the *operator* and may do everything; with an API key, its principal's policies
count. Whatever is changed, and whatever is denied, is written into the audit log before it happens.
"""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from functools import partial

from fleethand_common import clock
from fleethand_common.clock import elapsed_s
from fleethand_common.commands import CommandType
from fleethand_common.errors import RequestError
from fleethand_dispatcher.api_errors import refusal
from fleethand_dispatcher.audit import AuditEvent, Outcome, here
from fleethand_dispatcher.audit_records import End
from fleethand_dispatcher.directives import Directives
from fleethand_dispatcher.freezing import is_frozen
from fleethand_dispatcher.launching import Admission, Launch
from fleethand_dispatcher.permit import Permit
from fleethand_dispatcher.policies import Decision, Resource, Rules
from fleethand_dispatcher.policy_conditions import RUN_AS, SOURCE_IP
from fleethand_dispatcher.principal_records import PrincipalRecord
from fleethand_dispatcher.principals import Principals
from fleethand_dispatcher.settings import Settings
from fleethand_dispatcher.store import Store

OPERATOR = "operator"
"""Who holds the keyring and shows no API key."""
INSTANCE = "instance/"

_SHOWN = 3
_CHUNK = 1000


class Gate:
    """Decides for one caller.

    Args:
        api_key: whose policies count; empty for the operator.
        principal: whose policies count where no key is shown, as for what a principal's schedule does.
        source_ip: where the call came from, if it came over a network.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        directives: Directives,
        *,
        api_key: str = "",
        principal: str = "",
        source_ip: str = "",
    ) -> None:
        self._store = store
        self._settings = settings
        self._directives = directives
        self._api_key = api_key
        self._principal = principal
        self._source_ip = str(ipaddress.ip_address(source_ip)) if source_ip else ""
        self._principals = Principals(store.principals)
        self._rules: Rules | None = Rules(()) if api_key or principal else None
        """None for the operator, who may do everything; nothing for a principal until it is found."""
        self._version = -1
        self._good_until_s: float | None = None
        self._tags: dict[str, Mapping[str, str]] = {}
        self._tags_version = -1
        self._visible: set[tuple[str, str]] = set()
        self.actor = OPERATOR

    def enter(self) -> None:
        """Find out who asks, before anything else is done of a call.

        Raises:
            RequestError: the API key is nobody's, or one is required and missing.
        """
        if not self._api_key and not self._principal:
            if self._settings.require_principal:
                detail = "This control plane wants an API key: give --api-key (FLEETHAND_API_KEY)."
                raise refusal("InvalidAccessKeyId.NotFound", detail)
            return
        version = self._store.principals.version()
        is_over = self._good_until_s is not None and elapsed_s() > self._good_until_s
        if version != self._version or is_over:
            self._identify(version)

    def _identify(self, version: int) -> None:
        self._rules = Rules(())
        self._version = -1
        now_ms = self._store.now_ms()
        try:
            record = self._find(now_ms)
        except RequestError as error:
            self.tell("fleethand:Authenticate", "denied", detail=str(error), actor=self._principal or "unknown")
            raise
        over_ms = next((key.not_after_ms for key in record.keys if key.key_id in self._api_key), None)
        self._good_until_s = None if over_ms is None else elapsed_s() + (over_ms - now_ms) / 1000
        self._rules = Rules(self._principals.policies_of(record.policies))
        self._visible.clear()
        self.actor, self._version = record.name, version

    def _find(self, now_ms: int) -> PrincipalRecord:
        if self._principal:
            return self._principals.enabled(self._principal)
        return self._principals.find(self._api_key, now_ms)

    def demand(self, action: str, names: Sequence[str], *, run_as: str = "", invoke_id: str = "") -> None:
        """Refuse an action unless it is allowed on everything that is named, such as `instance/web-1`.

        Raises:
            RequestError: `Forbidden.RAM`, which says on what, and why; it is in the audit log.
        """
        refused = [
            (name, decision)
            for name, decision in zip(names, self._decide(action, names, run_as), strict=True)
            if not decision.allowed
        ]
        if not refused:
            return
        self.tell(action, "denied", [name for name, _ in refused], detail=refused[0][1].reason, invoke_id=invoke_id)
        raise refusal("Forbidden.RAM", self._explained(action, refused, run_as))

    def _explained(self, action: str, refused: Sequence[tuple[str, Decision]], run_as: str) -> str:
        shown = ", ".join(name for name, _ in refused[:_SHOWN])
        more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        user = f" as the user {run_as}" if run_as else ""
        return (
            f"{self.actor} may not {action} on {shown}{more}{user}: {refused[0][1].reason}."
            f" `fleethand policy simulate --principal {self.actor} --action {action}` shows what its policies say;"
            " whoever manages them can attach another one."
        )

    def sees(self, action: str, name: str) -> bool:
        """Tell whether something may be shown to the caller."""
        return self._rules is None or self._decide(action, [name], "")[0].allowed

    def seen(self, action: str, names: Sequence[str]) -> list[bool]:
        """Tell for each of several things whether it may be shown to the caller."""
        return [decision.allowed for decision in self._decide(action, names, "")]

    def sees_invocation(self, action: str, invoke_id: str) -> bool:
        """Tell whether an invocation may be shown: whether any instance that it targets may be."""
        if self._rules is None or (action, invoke_id) in self._visible:
            return True
        start = 0
        while found := self._store.invocations.targets(invoke_id, start, _CHUNK):
            if any(self.seen(action, [INSTANCE + name for name in found])):
                if not self._rules.uses_tags:  # tags can change without a change of the rules
                    self._visible.add((action, invoke_id))
                return True
            start += _CHUNK
        return False

    def demand_invocation(self, action: str, invoke_id: str) -> None:
        """Refuse an action on an invocation of which no instance may be shown.

        Raises:
            RequestError: `Forbidden.RAM`; one that does not exist is left to whoever looks for it.
        """
        exists = self._rules is not None and self._store.invocations.head(invoke_id) is not None
        if exists and not self.sees_invocation(action, invoke_id):
            self.demand(action, [f"invocation/{invoke_id}"])

    def admission(self, action: str, *also: str) -> Admission:
        """Return the check that a launch must pass; *also* is what else it is done to, such as `command/c-…`."""
        permit = Permit(actor=self.actor, action=action, also=list(also))
        return Admission(permit, partial(self._admit, action, also))

    def _admit(self, action: str, also: Sequence[str], invoke_id: str, launch: Launch) -> None:
        snapshot = launch.snapshot
        names = [*also, *(INSTANCE + instance_id for instance_id in launch.targets.all)]
        self.demand(action, names, run_as=snapshot.username or default_user(snapshot.command_type), invoke_id=invoke_id)
        issued, end = self._store.before_start()
        if frozen := is_frozen(self._directives, issued):
            self.tell(action, "refused", names, detail="the fleet is frozen", invoke_id=invoke_id, after=end)
            reason = f", because: {frozen.reason}" if frozen.reason else ""
            since = clock.to_text(frozen.since_ms)
            raise refusal(
                "Operation.Frozen", f"{frozen.actor} froze it at {since}{reason}. `fleethand unfreeze` ends that."
            )
        if invoke_id:
            values = json.dumps(launch.parameters, sort_keys=True)
            digest = self._store.vault.mark("audit digest", snapshot.command_content, values)
            self.tell(action, "allowed", names, digest=digest, invoke_id=invoke_id, after=end)

    def demand_on_all(self, action: str, invoke_id: str, instance_ids: Sequence[str]) -> None:
        """Refuse to stop or alter an invocation unless that is allowed on all its instances, or on those named."""
        names = [INSTANCE + name for name in instance_ids or self._store.invocations.targets(invoke_id)]
        self.demand(action, names, invoke_id=invoke_id)
        if names:
            self.tell(action, "allowed", names, invoke_id=invoke_id)

    def tell(
        self,
        action: str,
        outcome: Outcome,
        targets: Sequence[str] = (),
        *,
        detail: str = "",
        digest: str = "",
        invoke_id: str = "",
        actor: str = "",
        after: End | None = None,
    ) -> None:
        """Write into the audit log what the caller does; *after* is where that ended, if it was read just now."""
        self._store.audit.append(
            AuditEvent(
                action=action,
                actor=actor or self.actor,
                outcome=outcome,
                targets=targets,
                digest=digest,
                source=self._source_ip or here(),
                detail=detail,
                invoke_id=invoke_id,
            ),
            after,
        )

    def _decide(self, action: str, names: Sequence[str], run_as: str) -> list[Decision]:
        if self._rules is None:
            return [Decision(allowed=True)] * len(names)
        context = {key: value for key, value in ((RUN_AS, run_as), (SOURCE_IP, self._source_ip)) if value}
        return self._rules.decide_all(action, self.resources(names, with_tags=self._rules.uses_tags), context)

    def resources(self, names: Sequence[str], *, with_tags: bool = True) -> list[Resource]:
        """Return what names such as `instance/web-1` stand for in policies."""
        start = f"acs:ecs:{self._settings.region_id}:{self._settings.account_id}:"
        tags = self._tags_of(names) if with_tags else {}
        return [Resource(start + name, tags.get(name, {})) for name in names]

    def _tags_of(self, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the tags that the control plane gave to instances; what a host says of itself gives nobody rights."""
        version = self._store.hosts.version()
        if version != self._tags_version:
            self._tags.clear()
            self._tags_version = version
        missing = [name for name in names if name.startswith(INSTANCE) and name not in self._tags]
        hosts = self._store.hosts.read([name.removeprefix(INSTANCE) for name in missing])
        self._tags.update((name, host.tags if host else {}) for name, host in zip(missing, hosts, strict=True))
        return self._tags


def default_user(command_type: str) -> str:
    """Return the user that a command runs as where the call names none (spec 14.2)."""
    return "root" if command_type == CommandType.SHELL else "system"
