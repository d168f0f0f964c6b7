"""Every number that the specification fixes, with its unit and its source; what an operator may change is a setting."""

KIB = 1024

KEPT_CONTENT_BYTES = 18 * KIB
"""Base64 form of a kept command's content. Overview, "Payload and parameter limits"."""
UNKEPT_CONTENT_BYTES = 24 * KIB
"""Base64 form of the content of a command that is not kept, and of any content after substitution. Same place."""
OUTPUT_BYTES = 24 * KIB
"""Kept output of one execution. API 9.1."""
OUTPUT_HEAD_BYTES = 6000
"""How much of it is the beginning; the rest is the end. API 9.1."""

PARAMETERS_DEFINED = 20
"""Distinct custom names in one command. Overview."""
PARAMETERS_PASSED = 20
"""Entries in `parameters`. The API takes 10 (7.3); the overview's 20 wins, so that each defined one can be passed."""
PARAMETER_NAME_CHARS = 64
"""API 7.1."""

NAME_CHARS = 128
DESCRIPTION_CHARS = 512
WORKING_DIR_CHARS = 200
USERNAME_CHARS = 255
CLIENT_TOKEN_CHARS = 64
"""API 2.1, 2.5 and 1.7."""

TIMEOUT_DEFAULT_S = 60
TIMEOUT_MAX_S = 86_400
"""API 8.2; the maximum is the console's."""

TAGS = 20
TAG_KEY_CHARS = 64
TAG_VALUE_CHARS = 128
"""API 1.9."""

INSTANCE_NAME_PREFIX_CHARS = (2, 50)
"""Least and most of an activation's name prefix. API 12.1."""
INSTANCE_NAME_CHARS = (2, 128)
"""Least and most of a managed instance's name. API 12.3."""
ACTIVATION_DESCRIPTION_CHARS = 100
ACTIVATION_INSTANCES_DEFAULT = 10
ACTIVATION_TTL_DEFAULT_H = 4
"""API 12.1."""
MACHINE_ID_CHARS = 36
"""API 1.5."""

PAGE_DEFAULT = 10
PAGE_MAX = 50
"""API 1.8."""

DELIVERY_WINDOW_S = 60
"""An order that was not started by then is Aborted. Overview, "Aborted"."""
DELIVER_WITHIN_MAX_S = 7 * 86_400
"""How long a caller may ask an order to wait for an offline host. DESIGN.md section 3."""
ONLINE_WITHIN_S = 120
"""An instance is online if its last heartbeat is younger. API 3.5."""

RATE_MIN_S = 60
RATE_MAX_S = 7 * 86_400
"""The interval of `rate(…)`, which must also be longer than the timeout. API 6.1."""
CRON_GAP_MIN_S = 10
"""Between two runs of a cron schedule, which must also not be nearer than the timeout. API 6.3."""
CRON_YEAR_MIN = 1970
CRON_YEAR_MAX = 2099
"""API 6.3; years that are past are read and fire no more."""
