"""`fleethand instance`: the hosts, as their heartbeats told them."""

from typing import TYPE_CHECKING, Any

import click

from fleethand_common.errors import RequestError
from fleethand_common.limits import PAGE_MAX
from fleethand_dispatcher.cli import options, shapes, tables
from fleethand_dispatcher.cli.lookup import pages
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.models import Instance


@click.group(cls=FleethandGroup)
def instance() -> None:
    """List and show the hosts of the fleet.

    \b
    Example:
      fleethand instance list --offline
    """


@instance.command("list")
@click.option("--tag", "-t", "tags", multiple=True, metavar="K=V", help="Only with this tag; repeated: with all.")
@click.option("--name", "-n", "names", multiple=True, metavar="GLOB", help="Only those whose name fits; repeat.")
@click.option("--online/--offline", default=None, help="Only those that were, or were not, heard of lately.")
@options.as_json
@pass_session
def list_(
    session: Session, /, *, tags: tuple[str, ...], names: tuple[str, ...], online: bool | None, as_json: bool
) -> None:
    """List hosts.

    \b
    Example:
      fleethand instance list --tag env=prod --offline
    """
    filters: dict[str, Any] = {"tags": options.pairs(tags, "--tag"), "names": names, "online": online}
    with session.open() as dispatcher:
        found = list(
            pages(lambda token: dispatcher.describe_instances(**filters, max_results=PAGE_MAX, next_token=token))
        )
    found.sort(key=lambda row: row.instance_id)
    if as_json:
        shapes.print_json(found)
        return
    tables.print_rows(("instance", "name", "state", "running", "last seen", "os", "tags"), [_row(row) for row in found])


@instance.command("show")
@click.argument("instance_id", metavar="INSTANCE")
@options.as_json
@pass_session
def show(session: Session, /, *, instance_id: str, as_json: bool) -> None:
    """Show what is known of one host.

    \b
    Example:
      fleethand instance show web-1
    """
    with session.open() as dispatcher:
        items = dispatcher.describe_instances(instance_ids=(instance_id,)).items
    if not items:
        raise RequestError("InvalidInstance.NotFound", f"cannot find instance {instance_id!r}: it was never seen")
    if as_json:
        shapes.print_json(items[0])
        return
    fields = shapes.plain(items[0])
    fields["online"] = "online" if items[0].online else "offline"
    fields["tags"] = _tags(items[0])
    fields["running"] = ", ".join(items[0].running)
    tables.print_fields(fields.items())
    if items[0].cloned_at is not None:
        click.echo(
            f"WARNING: two machines have answered as {instance_id}, last at {shapes.time_text(items[0].cloned_at)};"
            " register one of them anew under an id of its own",
            err=True,
        )


def _row(row: "Instance") -> tuple[object, ...]:
    state = "online" if row.online else "offline"
    seen = shapes.time_text(row.last_seen_at)
    return row.instance_id, row.instance_name, state, len(row.running), seen, row.os_version or row.os_type, _tags(row)


def _tags(row: "Instance") -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(row.tags.items()))
