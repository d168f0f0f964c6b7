"""The fields of a cron expression: read, checked and translated for croniter, each by its own rules (spec 6.3)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fleethand_common import limits
from fleethand_common.errors import RequestError
from fleethand_dispatcher.api_errors import refusal

_NUMBER = re.compile(r"0?[0-9]|[1-9][0-9]{1,3}")  # one leading zero at most
_NTHS = frozenset("12345")


def _numbered(*names: str) -> dict[str, int]:
    """Number full names and their first three letters from 1 on."""
    return {short: number for number, name in enumerate(names, 1) for short in (name, name[:3])}


@dataclass(frozen=True, slots=True)
class Token:
    """A field as it was written, with its place in the expression."""

    text: str
    character: int
    """Where it starts, counted from 1."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a field allows."""

    values: frozenset[int] | None
    """`None` for `*` and `?`: all, so the field restricts nothing."""
    specials: tuple[str, ...] = ()
    """Days that no number can name, in croniter's spelling: `l`, `15w`, `6#3`, `l6`; `lw` is ours."""
    is_rhythm: bool = False
    """Whether it is written as `*` or with a step, as against times of day."""


@dataclass(frozen=True, slots=True)
class FieldKind:
    """The rules for one of the fields."""

    name: str
    low: int
    high: int
    hint: str = ""
    names: Mapping[str, int] = field(default_factory=dict)
    special: Callable[[str, "FieldKind"], str | None] | None = None
    """Turns a special day into croniter's spelling; `None` if the item is not special."""
    takes_question_mark: bool = False
    wraps: bool = True

    def parse(self, token: Token) -> Field:
        """Read the field.

        Raises:
            RequestError: `BadCronExpression`; its message names the field, the character and what is allowed.
        """
        if token.text == "*" or (token.text == "?" and self.takes_question_mark):
            return Field(None, is_rhythm=True)
        values: set[int] = set()
        specials: list[str] = []
        character = token.character
        for item in token.text.split(","):
            special = self._special(item, character)
            if special:
                specials.append(special)
            else:
                values |= self._values(item, character)
            character += len(item) + 1
        is_rhythm = "/" in token.text or len(values) == self.high - self.low + 1
        return Field(frozenset(values), tuple(dict.fromkeys(specials)), is_rhythm)

    def _special(self, item: str, character: int) -> str | None:
        try:
            return self.special(item.upper(), self) if self.special else None
        except ValueError as error:
            raise self.error(str(error), character) from error

    def _values(self, item: str, character: int) -> frozenset[int]:
        """Return what an item without specials means: `*`, `a`, `a-b`, each with a step or without."""
        try:
            span, slash, step_text = item.partition("/")
            first_text, dash, last_text = span.partition("-")
            first = self.low if span == "*" else self.number(first_text, item)
            open_end = self.high if slash or span == "*" else first
            last = self.number(last_text, item) if dash else open_end
            return self._range(first, last, self._step(step_text) if slash else 1)
        except ValueError as error:
            raise self.error(str(error), character) from error

    def _range(self, first: int, last: int, step: int) -> frozenset[int]:
        if first <= last:
            return frozenset(range(first, last + 1, step))
        if not self.wraps:
            raise ValueError(f"{first}-{last} runs backwards")
        size = self.high - self.low + 1
        return frozenset((value - self.low) % size + self.low for value in range(first, last + size + 1, step))

    def _step(self, text: str) -> int:
        longest = self.high - self.low
        if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= longest:
            raise ValueError(f"the step {text!r} is out of 1-{longest}")
        return int(text)

    def number(self, text: str, item: str) -> int:
        """Return the number or the number of a name in *item*; ValueError says what is allowed."""
        value = self.names.get(text.lower())
        if value is None:
            if not _NUMBER.fullmatch(text):
                raise ValueError(f"cannot read {item[:50]!r}; {self._allowed()}")
            value = int(text)
        if not self.low <= value <= self.high:
            raise ValueError(f"{text} is out of {self.low}-{self.high}{self.hint}")
        return value

    def _allowed(self) -> str:
        return f"allowed are {self.low}-{self.high}{self.hint}, and lists, ranges and steps of them"

    def error(self, problem: str, character: int) -> RequestError:
        """Return the error for something wrong in this field."""
        place = f"{self.name.capitalize()} (field {KINDS.index(self) + 1}, character {character})"
        return refusal("BadCronExpression", f"{place}: {problem}.")


def _special_day_of_month(item: str, kind: FieldKind) -> str | None:
    """Translate `L`, `LW` and `nW`."""
    if item in {"L", "LW"}:
        return item.lower()
    if item.startswith("L"):
        raise ValueError(f"cannot read {item!r}; L is the last day and LW the last weekday of the month")
    return f"{kind.number(item[:-1], item)}w" if item.endswith("W") else None


def _special_day_of_week(item: str, kind: FieldKind) -> str | None:
    """Translate `L`, `nL` and `n#k`, where n may be a name; croniter's Sunday is 0."""
    if item == "L":
        return "0"  # the last day of the week
    if item.endswith("L"):
        return f"l{kind.number(item[:-1], item) % 7}"
    weekday, mark, nth = item.partition("#")
    if not mark:
        return None
    if nth not in _NTHS:
        raise ValueError(f"{nth!r} after # is out of 1-5")
    return f"{kind.number(weekday, item) % 7}#{nth}"


SECONDS = FieldKind("second", 0, 59)
MINUTES = FieldKind("minute", 0, 59)
HOURS = FieldKind("hour", 0, 23)
DAYS = FieldKind("day of month", 1, 31, ", L, LW or nW", special=_special_day_of_month, takes_question_mark=True)
MONTHS = FieldKind(
    "month",
    1,
    12,
    " or JAN-DEC",
    _numbered(
        *("january", "february", "march", "april", "may", "june"),
        *("july", "august", "september", "october", "november", "december"),
    ),
)
WEEKDAYS = FieldKind(
    "day of week",
    1,
    7,
    " (1 is Monday, 7 is Sunday), MON-SUN, L, nL or n#k",
    _numbered("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    _special_day_of_week,
    takes_question_mark=True,
)
YEARS = FieldKind("year", limits.CRON_YEAR_MIN, limits.CRON_YEAR_MAX, takes_question_mark=True, wraps=False)
KINDS = (SECONDS, MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS, YEARS)
"""In the order in which they are written."""
