"""`fleethand audit`: who did what, and whether the log of it is whole."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleethand_dispatcher.cli import answers, exits, options, shapes
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.trust_models import AuditRecord


@click.group(cls=FleethandGroup)
def audit() -> None:
    """Read the audit log: who did what to which hosts, when and from where.

    \b
    Example:
      fleethand audit list
      fleethand audit verify --anchor audit.anchor
    """


@audit.command("list")
@click.option("--last", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest ones.")
@click.option("--since", type=click.IntRange(1), default=1, metavar="NUMBER", help="Only from this entry on.")
@click.option("--denied", is_flag=True, help="Only what was not allowed: denied, refused, alerts.")
@options.as_json
@pass_session
def list_(session: Session, /, *, last: int, since: int, denied: bool, as_json: bool) -> None:
    """Print the newest entries, oldest first.

    \b
    Example:
      fleethand audit list --last 20 --denied
    """
    with session.open() as dispatcher:
        found = [
            entry
            for entry in dispatcher.iter_audit_log(since=since, last=last)
            if not denied or entry.outcome != "allowed"
        ]
    header = ("number", "time", "actor", "action", "outcome", "targets", "invocation", "detail", "from")
    answers.print_list(found, header, _row, as_json=as_json)


@audit.command("export")
@click.option("--since", type=click.IntRange(1), default=1, metavar="NUMBER", help="Only from this entry on.")
@pass_session
def export(session: Session, /, *, since: int) -> None:
    """Print every entry as a line of JSON, for another place to keep them.

    \b
    Example:
      fleethand audit export > audit.jsonl
    """
    with session.open() as dispatcher:
        for entry in dispatcher.iter_audit_log(since=since):
            shapes.print_json_line(entry)


@audit.command("verify")
@click.option("--anchor", type=click.Path(dir_okay=False, path_type=Path), help="Keep the head in this file.")
@options.as_json
@pass_session
@click.pass_context
def verify(ctx: click.Context, session: Session, /, *, anchor: Path | None, as_json: bool) -> None:
    """Check that no entry was changed, put in, moved or taken away; exits with 1 if one was.

    Without --anchor it cannot be seen that entries are gone from the end.

    \b
    Example:
      fleethand audit verify --anchor /var/lib/fleethand/audit.anchor
    """
    with session.open() as dispatcher:
        found = dispatcher.verify_audit_log(anchor)
    if as_json:
        shapes.print_json(found)
    elif found.ok:
        click.echo(f"ok: {found.count} entries, head {found.head_sequence} {found.head_digest}".rstrip())
    else:
        click.echo(f"not whole at entry {found.first_bad}: {found.reason}")
    if not found.ok:
        ctx.exit(exits.ERROR)


def _row(entry: "AuditRecord") -> tuple[object, ...]:
    more = f" +{entry.target_count - len(entry.targets)}" if entry.target_count > len(entry.targets) else ""
    targets = " ".join(entry.targets) + more
    time = shapes.time_text(entry.time)
    return (
        entry.sequence, time, entry.actor, entry.action, entry.outcome, targets, entry.invoke_id, entry.detail,
        entry.source,
    )  # fmt: skip
