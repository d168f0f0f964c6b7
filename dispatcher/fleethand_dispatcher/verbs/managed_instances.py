"""Verbs about enrolled hosts."""

from collections.abc import Mapping, Sequence

from fleethand_common.credentials import Provision
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.managed_instances import Filters, ManagedInstances
from fleethand_dispatcher.models import ManagedInstance, Page
from fleethand_dispatcher.provisioning import Provisioning


class ManagedInstanceVerbs:
    """What an operator does with hosts that are enrolled (spec 12.3)."""

    _managed_instances: ManagedInstances
    _provisioning: Provisioning

    @guarded
    def describe_managed_instances(
        self,
        *,
        instance_ids: Sequence[str] = (),
        instance_name: str | None = None,
        instance_ip: str | None = None,
        os_type: str | None = None,
        activation_id: str | None = None,
        machine_id: str | None = None,
        connected: bool | None = None,
        tags: Mapping[str, str] | None = None,
        max_results: int = 10,
        next_token: str = "",
    ) -> Page[ManagedInstance]:
        """List enrolled hosts that fit every filter, sorted by id (spec 12.3).

        Args:
            instance_ip: the host's own address, or the one that its registration came from.
            os_type: `windows`, `linux` or `FreeBSD`.
        """
        filters = Filters(
            instance_ids=instance_ids,
            instance_name=instance_name,
            instance_ip=instance_ip,
            os_type=os_type,
            activation_id=activation_id,
            machine_id=machine_id,
            connected=connected,
            tags=tags or {},
        )
        return self._managed_instances.describe(filters, max_results=max_results, next_token=next_token)

    @guarded
    def modify_managed_instance(self, instance_id: str, *, instance_name: str) -> ManagedInstance:
        """Give an enrolled host another name (spec 12.3)."""
        return self._managed_instances.modify(instance_id, instance_name)

    @guarded
    def deregister_managed_instance(self, instance_id: str) -> ManagedInstance:
        """End an enrolment: the host's keys and its Redis user are worth nothing from now on (spec 12.3).

        What had not ended on it ends as `InstanceDeregistered`; its results stay. Calling it again is refused with
        `InvalidInstance.NotFound` and changes nothing, so that it needs no client token.
        """
        return self._managed_instances.deregister(instance_id)

    @guarded
    def provision_instance(
        self, instance_id: str, *, name: str = "", tags: Mapping[str, str] | None = None
    ) -> Provision:
        """Enrol a host on its behalf and return the identity that it needs, which is a secret.

        A host that was enrolled under this id before is not any more.
        """
        return self._provisioning.provision({"instance_id": instance_id, "name": name, "tags": tags or {}})
