"""Verbs about activations."""

from collections.abc import Mapping

from fleethand_common import limits
from fleethand_dispatcher.activations import Activations
from fleethand_dispatcher.connection import guarded
from fleethand_dispatcher.models import Activation, NewActivation, Page


class ActivationVerbs:
    """What an operator does so that hosts can enrol themselves (spec 12.1, 12.2)."""

    _activations: Activations

    @guarded
    def create_activation(
        self,
        *,
        instance_name: str = "",
        description: str = "",
        instance_count: int = limits.ACTIVATION_INSTANCES_DEFAULT,
        time_to_live_in_hours: int = limits.ACTIVATION_TTL_DEFAULT_H,
        ip_address_range: str = "",
        tags: Mapping[str, str] | None = None,
        client_token: str | None = None,
    ) -> NewActivation:
        """Make an id and a code that enrol hosts; the code is in this answer and nowhere else (spec 12.1).

        Args:
            instance_name: prefix of their names, which go on with `-001`; without it a host is called by its hostname.
            instance_count: how many hosts it may enrol.
            ip_address_range: an address or a CIDR that they must come from.
            tags: of every host that it enrols; the host cannot change them.
        """
        return self._activations.create(
            {
                "instance_name": instance_name,
                "description": description,
                "instance_count": instance_count,
                "time_to_live_in_hours": time_to_live_in_hours,
                "ip_address_range": ip_address_range,
                "tags": tags or {},
                "client_token": client_token,
            }
        )

    @guarded
    def describe_activations(
        self,
        *,
        activation_id: str | None = None,
        instance_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        max_results: int = 10,
        next_token: str = "",
    ) -> Page[Activation]:
        """List activations that fit every filter, newest first; never their codes (spec 12.2)."""
        return self._activations.describe(
            activation_id=activation_id,
            instance_name=instance_name,
            tags=tags or {},
            max_results=max_results,
            next_token=next_token,
        )

    @guarded
    def disable_activation(self, activation_id: str) -> Activation:
        """Have an activation enrol nobody any more; hosts that it enrolled go on (spec 12.2)."""
        return self._activations.disable(activation_id)

    @guarded
    def delete_activation(self, activation_id: str) -> Activation:
        """Forget an activation; refused while a host that it enrolled is not deregistered (spec 12.2)."""
        return self._activations.delete(activation_id)
