"""`fleethand instance`: the hosts, as their heartbeats told them and as they were enrolled."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fleethand_common.errors import RequestError
from fleethand_dispatcher.cli import answers, options, shapes, tables
from fleethand_dispatcher.cli.lookup import pages
from fleethand_dispatcher.cli.managed import deregister, modify, provision
from fleethand_dispatcher.cli.session import FleethandGroup, Session, pass_session

if TYPE_CHECKING:
    from fleethand_dispatcher.models import Instance, ManagedInstance

_MANAGED = ("activation_id", "registration_time", "machine_id", "hostname", "intranet_ip", "internet_ip")
"""What is known of a host since it was enrolled, and only since then."""


@click.group(cls=FleethandGroup)
def instance() -> None:
    """List and show the hosts of the fleet; enrol, rename and deregister them.

    \b
    Example:
      fleethand instance list --offline
    """


for _command in (modify, deregister, provision):
    instance.add_command(_command)


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
    wanted = options.pairs(tags, "--tag")
    with session.open() as dispatcher:
        found = list(pages(dispatcher.describe_instances, tags=wanted, names=names, online=online))
    found.sort(key=lambda row: row.instance_id)
    header = ("instance", "name", "state", "running", "last seen", "os", "tags")
    answers.print_list(found, header, _row, as_json=as_json)


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
        managed = dispatcher.describe_managed_instances(instance_ids=(instance_id,)).items
    if not items and not managed:
        raise RequestError(
            "InvalidInstance.NotFound", f"cannot find instance {instance_id!r}: it was never enrolled nor seen"
        )
    fields = {**(shapes.plain(items[0]) if items else _never_seen(managed[0])), **_facts(managed)}
    if as_json:
        shapes.print_json(fields)
        return
    fields["online"] = "online" if fields["online"] else "offline"
    fields["tags"] = _pairs(fields["tags"])
    fields["running"] = ", ".join(fields.get("running", ()))
    tables.print_fields(fields.items())
    if items[0].cloned_at is not None:
        click.echo(
            f"WARNING: two machines have answered as {instance_id}, last at {shapes.time_text(items[0].cloned_at)};"
            " register one of them anew under an id of its own",
            err=True,
        )


def _never_seen(enrolled: "ManagedInstance") -> dict[str, Any]:
    """Return what is known of a host that has not started yet."""
    shown: dict[str, Any] = shapes.plain(enrolled)
    return {"instance_id": enrolled.instance_id, "instance_name": enrolled.instance_name, "online": False, **shown}


def _facts(managed: "Sequence[ManagedInstance]") -> dict[str, Any]:
    shown = [{"managed": True, **shapes.plain(row)} for row in managed] or [{"managed": False}]
    return {name: shown[0][name] for name in ("managed", *_MANAGED) if name in shown[0]}


def _row(row: "Instance") -> tuple[object, ...]:
    state = "online" if row.online else "offline"
    seen = shapes.time_text(row.last_seen_at)
    system = row.os_version or row.os_type
    return row.instance_id, row.instance_name, state, len(row.running), seen, system, _pairs(row.tags)


def _pairs(tags: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(tags.items()))
