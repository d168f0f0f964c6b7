"""The instance-level error codes, the status that each belongs to, and what it tells the operator (spec 5.8)."""

from enum import StrEnum
from typing import NamedTuple

from fleethand_common.states import InstanceStatus


class InstanceErrorCode(StrEnum):
    """Why one instance ended as it did; empty when all is well."""

    INSTANCE_NOT_EXISTS = "InstanceNotExists"
    INSTANCE_DEREGISTERED = "InstanceDeregistered"
    CLIENT_NOT_ONLINE = "ClientNotOnline"
    CLIENT_NOT_RESPONSE = "ClientNotResponse"
    CLIENT_NEED_UPGRADE = "ClientNeedUpgrade"
    CLIENT_RESTARTED = "ClientRestarted"
    INSTANCE_RESTARTED = "InstanceRestarted"
    DELIVERY_TIMEOUT = "DeliveryTimeout"
    TASK_CONCURRENCY_LIMIT = "TaskConcurrencyLimit"
    COMMAND_NOT_APPLICABLE = "CommandNotApplicable"
    ACCOUNT_NOT_EXISTS = "AccountNotExists"
    DIRECTORY_NOT_EXISTS = "DirectoryNotExists"
    DEFAULT_WORKING_DIRECTORY_NOT_AVAILABLE = "DefaultWorkingDirectoryNotAvailable"
    INVALID_SYSTEM_BUILT_IN_PARAMETER = "InvalidSystemBuiltInParameter"
    INVALID_COMMAND_TEXT = "InvalidCommandText"
    EXECUTION_TIMEOUT = "ExecutionTimeout"
    EXECUTION_EXCEPTION = "ExecutionException"
    EXECUTION_INTERRUPTED = "ExecutionInterrupted"
    EXIT_CODE_NONZERO = "ExitCodeNonzero"
    AT_EXPRESSION_EXPIRED = "AtExpressionExpired"
    CRON_EXPRESSION_EXPIRED = "CronExpressionExpired"


class InstanceError(NamedTuple):
    """What a code means for the row that carries it."""

    status: InstanceStatus
    info: str


INSTANCE_ERRORS: dict[InstanceErrorCode, InstanceError] = {
    InstanceErrorCode.INSTANCE_NOT_EXISTS: InstanceError(
        InstanceStatus.ABORTED, "The specified instance does not exist."
    ),
    InstanceErrorCode.INSTANCE_DEREGISTERED: InstanceError(
        InstanceStatus.ABORTED, "The managed instance was deregistered."
    ),
    InstanceErrorCode.CLIENT_NOT_ONLINE: InstanceError(
        InstanceStatus.ABORTED, "The worker on the instance is not connected to the control plane."
    ),
    InstanceErrorCode.CLIENT_NOT_RESPONSE: InstanceError(
        InstanceStatus.ERROR, "The worker on the instance took the command and has not reported its end."
    ),
    InstanceErrorCode.CLIENT_NEED_UPGRADE: InstanceError(
        InstanceStatus.ABORTED, "The worker on the instance must be upgraded to run this command."
    ),
    InstanceErrorCode.CLIENT_RESTARTED: InstanceError(
        InstanceStatus.ERROR, "The worker was restarted and found the command gone; its outcome is unknown."
    ),
    InstanceErrorCode.INSTANCE_RESTARTED: InstanceError(
        InstanceStatus.ERROR, "The instance was restarted while the command ran."
    ),
    InstanceErrorCode.DELIVERY_TIMEOUT: InstanceError(InstanceStatus.ABORTED, "The command delivery has been timeout."),
    InstanceErrorCode.TASK_CONCURRENCY_LIMIT: InstanceError(
        InstanceStatus.ABORTED, "The instance already runs as many commands as it may and its queue is full."
    ),
    InstanceErrorCode.COMMAND_NOT_APPLICABLE: InstanceError(
        InstanceStatus.INVALID, "The OS type of the instance does not support the specified command type."
    ),
    InstanceErrorCode.ACCOUNT_NOT_EXISTS: InstanceError(
        InstanceStatus.INVALID, "The specified account does not exist."
    ),
    InstanceErrorCode.DIRECTORY_NOT_EXISTS: InstanceError(
        InstanceStatus.INVALID, "The specified directory does not exist."
    ),
    InstanceErrorCode.DEFAULT_WORKING_DIRECTORY_NOT_AVAILABLE: InstanceError(
        InstanceStatus.INVALID, "The user's home directory does not exist; name a working directory."
    ),
    InstanceErrorCode.INVALID_SYSTEM_BUILT_IN_PARAMETER: InstanceError(
        InstanceStatus.INVALID, "The content names a built-in parameter that does not exist."
    ),
    InstanceErrorCode.INVALID_COMMAND_TEXT: InstanceError(
        InstanceStatus.INVALID, "The command's content cannot be run."
    ),
    InstanceErrorCode.EXECUTION_TIMEOUT: InstanceError(
        InstanceStatus.TIMEOUT, "The command execution has been timeout."
    ),
    InstanceErrorCode.EXECUTION_EXCEPTION: InstanceError(
        InstanceStatus.ERROR, "The command execution got an exception."
    ),
    InstanceErrorCode.EXECUTION_INTERRUPTED: InstanceError(
        InstanceStatus.ERROR, "The command execution has been interrupted."
    ),
    InstanceErrorCode.EXIT_CODE_NONZERO: InstanceError(
        InstanceStatus.FAILED, "The command execution exit code is not zero."
    ),
    InstanceErrorCode.AT_EXPRESSION_EXPIRED: InstanceError(
        InstanceStatus.INVALID, "The time of the schedule passed and it did not run."
    ),
    InstanceErrorCode.CRON_EXPRESSION_EXPIRED: InstanceError(
        InstanceStatus.INVALID, "The last time of the schedule passed and it never ran."
    ),
}

assert set(INSTANCE_ERRORS) == set(InstanceErrorCode), "every code has a status and a text"
