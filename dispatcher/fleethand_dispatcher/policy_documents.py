"""The policies that are always there."""

from fleethand_dispatcher import policies
from fleethand_dispatcher.policies import Policy

ADMINISTRATOR, FULL_ACCESS, READ_ONLY = "FleethandAdministrator", "FleethandFullAccess", "FleethandReadOnly"

_RESOURCES = [
    f"acs:ecs:*:*:{kind}/*"
    for kind in ("instance", "command", "invocation", "activation", "servicesettings", "schedule", "report", "fleet")
]

DOCUMENTS: dict[str, dict[str, object]] = {
    FULL_ACCESS: {
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "ecs:DescribeInstances", "ecs:DescribeTag*", "ecs:*Command", "ecs:DescribeCommand*",
                    "ecs:DescribeInvocation*", "ecs:StopInvocation", "ecs:*CloudAssistant*", "ecs:SendFile",
                    "ecs:DescribeSendFileResults", "ecs:*ManagedInstance", "ecs:DescribeManagedInstances",
                    "ecs:*Activation", "ecs:DescribeActivations", "ecs:ListPluginStatus",
                    "ecs:ModifyInvocationAttribute", "ecs:StartTerminalSession", "ecs:EndTerminalSession",
                    "ecs:DescribeTerminalSessions", "fleethand:*Schedule*",
                    "fleethand:*DeadReports",
                    "fleethand:DescribeSecurity", "fleethand:DescribeFreeze",
                ],
                "Resource": _RESOURCES,
            }
        ],
    },
    READ_ONLY: {
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "ecs:Describe*", "ecs:List*", "fleethand:DescribeSchedules", "fleethand:DescribeDeadReports",
                    "fleethand:DescribeFreeze", "fleethand:DescribeSecurity",
                ],
                "Resource": _RESOURCES,
            }
        ],
    },
    ADMINISTRATOR: {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
}  # fmt: skip
"""What the vendor's `AliyunECSAssistantFullAccess` and `…ReadonlyAccess` allow (spec 14.3).

Neither has to do with principals, policies, keys, the audit log or freezing (`fleethand:*`), as whoever may do these
could give themselves everything; `FleethandAdministrator` has.
"""

BUILT_IN: dict[str, Policy] = {name: Policy(name, policies.parse(document)) for name, document in DOCUMENTS.items()}
