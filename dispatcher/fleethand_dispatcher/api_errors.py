"""The API's error codes: HTTP status and message, each spelled once (spec 1.4, 1.9, 2.1, 2.6 to 2.8, 5.8 and 12).

The last ones are the registration service's, whose protocol is our own.
"""

from typing import NamedTuple

from fleethand_common.errors import RequestError


class ApiError(NamedTuple):
    """What the API answers with a code."""

    http_status: int
    message: str
    api_code: str = ""
    """The code that the API itself has for it, where ours is finer: the name that an instance would report (spec 6)."""


API_ERRORS: dict[str, ApiError] = {
    "CmdParam.EmptyKey": ApiError(400, "You must specify the parameter names."),
    "CmdParam.InvalidParamName": ApiError(
        400, "Invalid parameter name. The name can contain only letters, numbers, hyphens (-), and underscores (_)."
    ),
    "CmdContent.DecodeError": ApiError(400, "The CommandContent can not be base64 decoded."),
    "InvalidParameter.WorkingDir": ApiError(400, "The specified parameter WorkingDir is not valid."),
    "InvalidParameter.ParameterDefinitions": ApiError(400, "A parameter definition is not valid."),
    "InvalidParameter.Timeout": ApiError(400, "The specified parameter Timeout is not valid."),
    "InvalidParameter.DeliverWithin": ApiError(400, "The specified delivery window is not valid."),
    "InvalidParameter.Limit": ApiError(400, "The specified limit is not valid."),
    "InvalidParameter.NextToken": ApiError(400, "The specified parameter NextToken is not valid."),
    "InvalidParameter.MaxResults": ApiError(400, "The specified parameter MaxResults is not valid."),
    "InvalidParameter.Status": ApiError(400, "The specified status does not exist."),
    "InvalidParameter.Interpolation": ApiError(400, "The specified interpolation does not exist."),
    "InvalidParameter.Blackout": ApiError(400, "The specified blackout window is not valid."),
    "InvalidParameter": ApiError(400, "A parameter is not valid."),
    "MissingParam.Frequency": ApiError(400, "The frequency must be specified when you create a timed task."),
    "InvalidParam.Frequency": ApiError(400, "The specified frequency is invalid."),
    "InvalidRateExpression": ApiError(400, "The rate expression is invalid.", "InvalidParam.Frequency"),
    "RateFrequencyTooLarge": ApiError(400, "The interval is too long.", "InvalidParam.Frequency"),
    "InvalidAtExpression": ApiError(400, "The at expression is invalid.", "InvalidParam.Frequency"),
    "AtExpressionExpired": ApiError(400, "The specified time has passed.", "InvalidParam.Frequency"),
    "BadCronExpression": ApiError(400, "The cron expression is invalid.", "InvalidParam.Frequency"),
    "CronExpressionExpired": ApiError(400, "The cron expression never fires again.", "InvalidParam.Frequency"),
    "TimezoneInformationCorrupt": ApiError(400, "The time zone cannot be found.", "InvalidParam.Frequency"),
    "InvalidGMTOffsetForTimezone": ApiError(400, "The GMT offset is invalid.", "InvalidParam.Frequency"),
    "InvalidGMTOffsetHourForTimezone": ApiError(
        400, "The hour of the GMT offset is out of range.", "InvalidParam.Frequency"
    ),
    "InvalidGMTOffsetMinuteForTimezone": ApiError(
        400, "The minute of the GMT offset is out of range.", "InvalidParam.Frequency"
    ),
    "InvalidParameter.PolicyDocument": ApiError(400, "The specified policy document is not valid."),
    "InvalidParameter.PolicyName": ApiError(400, "The specified policy name is not valid."),
    "InvalidParameter.PrincipalName": ApiError(400, "The specified principal name is not valid."),
    "InvalidPolicy.Duplicate": ApiError(400, "The specified policy exists already."),
    "InvalidPrincipal.Duplicate": ApiError(400, "The specified principal exists already."),
    "InvalidAccessKeyId.NotFound": ApiError(400, "The specified access key is not found."),
    "InvalidAccessKeyId.Inactive": ApiError(400, "The specified access key is disabled."),
    "MissingParameter.CommandContent": ApiError(400, "The input parameter CommandContent is required."),
    "MissingParameter.CommandId": ApiError(400, "The input parameter CommandId is required."),
    "MissingParameter.Name": ApiError(400, "The input parameter Name is required."),
    "MissingParam.InstanceId": ApiError(400, "The parameter instanceId is missing or empty."),
    "InvalidInstanceId.Malformed": ApiError(400, "The specified instance ID is not valid."),
    "InvalidClientToken.Malformed": ApiError(400, "The specified parameter clientToken is not valid."),
    "Parameter.MissingValue": ApiError(400, "The parameter value of this command is required."),
    "Parameter.Disabled": ApiError(
        400, "Parameters cannot be passed in when the command customization function is disabled."
    ),
    "InvalidParameter.Parameters": ApiError(400, "The specified parameter Parameters is not valid."),
    "NumberExceed.ResourceTags": ApiError(400, "The maximum number of ResourceTags is exceeded."),
    "InvalidResourceTagKey.Malformed": ApiError(400, "The specified ResourceTag key is not valid."),
    "InvalidResourceTagValue.Malformed": ApiError(400, "The specified ResourceTag value is not valid."),
    "InvalidResourceTag.InstanceNotFound": ApiError(400, "InstanceIds are not found by the specified ResourceTag."),
    "InvalidResourceTag.ConflictWithInstanceIds": ApiError(
        400, "The specified param ResourceTag conflicts with InstanceId."
    ),
    "NumberExceed.Tags": ApiError(400, "The Tags parameter number is exceed."),
    "MissingParameter.TagKey": ApiError(400, "You must specify Tag.N.Key."),
    "InvalidTagKey.Malformed": ApiError(400, "The specified Tag.n.Key is not valid."),
    "InvalidTagValue.Malformed": ApiError(400, "The specified Tag.n.Value is not valid."),
    "InstanceName.ExceedLimit": ApiError(400, "Default instance name prefix length exceeds."),
    "InstanceName.InvalidPattern": ApiError(400, "Default instance name prefix pattern invalid."),
    "ActivationDesc.ExceedLimit": ApiError(400, "Activation description length exceeds."),
    "ActivationLimitation.Invalid": ApiError(400, "The specified parameter InstanceCount exceeds the limit of %s."),
    "AddressRange.InvalidPattern": ApiError(400, "Address range should be ipv4 address or cidr."),
    "ActivationCount.ExceedLimit": ApiError(400, "The count of activation in current region exceeds the limit of %s."),
    "ActivationTTL.ExceedLimit": ApiError(400, "The specified parameter TimeToLiveInHours exceeds the limit of %s."),
    "InvalidParameter.Frequency": ApiError(400, "The specified parameter Frequency is not valid."),
    "InvalidParameter.Schedule": ApiError(400, "An option of the schedule is not valid."),
    "InvalidCommandContent.DecodeError": ApiError(
        400, "The specified parameter CommandContent can not be Base64 decoded."
    ),
    "InvalidParameters.KeyDuplicate": ApiError(400, "The key in the parameter Parameters cannot be duplicated."),
    "InvalidParameters.KeyMalformed": ApiError(400, "The key in the parameter Parameters is not valid."),
    "InvalidParameters.KeyEmpty": ApiError(400, "The key in the parameter Parameters cannot be empty."),
    "InvalidParameters.KeyNotMatch": ApiError(
        400, "The key in the parameter Parameters do not match those defined when creating the command."
    ),
    "CmdContent.ExceedLimit": ApiError(403, "The length of the command content exceeds the upper limit."),
    "CmdName.ExceedLimit": ApiError(403, "The length of the command name exceeds the upper limit."),
    "CmdDesc.ExceedLimit": ApiError(403, "The length of the command description exceeds the upper limit."),
    "CommandLimitExceeded": ApiError(403, "The count of command in current region exceeds the limit of %s."),
    "CmdCount.ExceedQuota": ApiError(403, "The total number of commands exceeds the quota."),
    "CmdParamCount.ExceedLimit": ApiError(403, "The maximum number of custom parameters is exceeded."),
    "CmdParamName.ExceedLimit": ApiError(403, "The maximum length of a parameter name is exceeded."),
    "InvalidParameterCharacter.CommandName": ApiError(403, "The command Name contains illegal characters."),
    "InvalidParameterCharacter.CommandDescription": ApiError(
        403, "The command Description contains illegal characters."
    ),
    "InvalidParameterCharacter.CommandWorkingDir": ApiError(403, "The command WorkingDir contains illegal characters."),
    "InvalidParameterCharset.Parameters": ApiError(403, "The parameter Parameters contains illegal charset."),
    "InvalidTimeout.ExceedLimit": ApiError(403, "The specified parameter Timeout exceeds the upper limit."),
    "InstanceIds.ExceedLimit": ApiError(403, "The number of instance IDs exceeds the upper limit."),
    "Invocation.ExceedQuota": ApiError(403, "The invocation quota has been reached for today."),
    "ParameterCount.ExceedLimit": ApiError(403, "The maximum number of parameters is exceeded."),
    "ParameterKey.ExceedLimit": ApiError(403, "The maximum length of a parameter name is exceeded."),
    "ParameterKey.Duplicate": ApiError(403, "Parameter names cannot be duplicated."),
    "Parameter.NotMatched": ApiError(
        403, "The passed-in parameters do not match the parameters defined when you created the command."
    ),
    "ParameterType.NotSupported": ApiError(403, "The type of parameter value is not supported."),
    "Username.ExceedLimit": ApiError(403, "The length of the username exceeds the upper limit."),
    "Forbidden.RAM": ApiError(403, "User not authorized to operate on the specified resource."),
    "Operation.Frozen": ApiError(403, "The fleet is frozen: nothing is started on it."),
    "InvalidOperation.RepeatModeUnsupported": ApiError(
        403, "The operation is not supported for current repeat mode of invocation."
    ),
    "InvalidOperation.InvokeAlreadyFinished": ApiError(403, "The operation is not supported for finished invocation."),
    "InvalidCommandContent.LengthLimitExceeded": ApiError(
        403, "The length of the parameter CommandContent exceeds the limit."
    ),
    "InvalidParameters.CountLimitExceeded": ApiError(403, "The count of the parameter Parameters exceeds the limit."),
    "InvalidParameters.KeyLengthLimitExceeded": ApiError(
        403, "The length of the key in the parameter Parameters exceeds the limit."
    ),
    "InvalidParameters.ValueTypeUnsupported": ApiError(
        403, "The type of the value in the parameter Parameters is not supported."
    ),
    "InvalidInstanceId.CountLimitExceeded": ApiError(403, "The count of the parameter InstanceId exceeds the limit."),
    "Operation.Forbidden": ApiError(403, "The operation is not permitted."),
    "IdempotentParameterMismatch": ApiError(
        403, "The specified parameter has changed while using an already used clientToken."
    ),
    "ManagedInstanceCountExceedLimit": ApiError(
        403, "The count of managed instance in current region exceeds the limit of %s."
    ),
    "ActivationId.InUse": ApiError(403, "The specified activation is in use."),
    "InvalidCmdType.NotFound": ApiError(404, "The specified command type does not exist."),
    "InvalidCommandType.NotFound": ApiError(404, "The specified parameter Type does not exist."),
    "InvalidRepeatMode.NotFound": ApiError(404, "The specified repeat mode does not exist."),
    "InvalidTerminationMode.NotFound": ApiError(404, "The specified parameter TerminationMode does not exist."),
    "InvalidInstance.NotFound": ApiError(404, "The specified instance does not exist."),
    "InvalidCmdId.NotFound": ApiError(404, "The specified command ID does not exist."),
    "InvalidPolicy.NotFound": ApiError(404, "The specified policy does not exist."),
    "InvalidPrincipal.NotFound": ApiError(404, "The specified principal does not exist."),
    "InvalidInvokeId.NotFound": ApiError(404, "The specified invoke ID does not exist."),
    "ActivationId.NotFound": ApiError(404, "The specified activation ID does not exist."),
    "Registration.Malformed": ApiError(400, "The request cannot be read."),
    "Registration.Refused": ApiError(403, "The activation ID and code do not fit."),
    "Registration.Expired": ApiError(403, "The activation has expired."),
    "Registration.Disabled": ApiError(403, "The activation is disabled."),
    "Registration.UsedUp": ApiError(403, "The activation was used as often as it may be."),
    "Registration.AddressNotAllowed": ApiError(403, "The activation is not for this address."),
    "Registration.NotProven": ApiError(403, "The request does not prove who it comes from."),
    "Registration.Deregistered": ApiError(403, "The instance is deregistered."),
    "Registration.EnrolmentNotFound": ApiError(404, "The enrolment does not exist or has taken too long."),
    "Registration.MachineRegistered": ApiError(409, "The machine is registered already."),
    "Registration.Busy": ApiError(409, "The enrolment is under way."),
    "Registration.Throttled": ApiError(429, "Too many requests."),
}


def refusal(code: str, detail: str = "", *, limit: int | None = None) -> RequestError:
    """Return the error for *code*; *detail* names the value, the bound and the way out, *limit* fills a `%s`."""
    error = API_ERRORS[code]
    message = error.message if limit is None else error.message.replace("%s", str(limit))
    return RequestError(code, f"{message} {detail}".strip(), http_status=error.http_status)
