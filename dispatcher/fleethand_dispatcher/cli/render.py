"""`fleethand render`: what a host would run, with every parameter filled."""

from typing import Any

import click

from fleethand_dispatcher.cli import options, shapes
from fleethand_dispatcher.cli.lookup import command_id_of
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session
from fleethand_dispatcher.cli.words import content, type_of


@click.command(cls=FleethandCommand, short_help="Print the script that a host would run.")
@click.option("--instance", "-i", "instance_id", required=True, metavar="ID", help="The host it would run on.")
@click.option("--command", "ident", metavar="COMMAND", help="A kept command, by id or name, instead of a script.")
@options.content_options
@options.parameter_options
@click.option("--env-parameters", is_flag=True, help="Values as environment variables; they can not become code.")
@options.as_json
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")
@pass_session
def render(session: Session, /, *, words: tuple[str, ...], ident: str | None, **given: Any) -> None:
    """Print the script that a host would run, and on stderr the environment it would get; runs nothing.

    \b
    Example:
      fleethand render --instance web-1 --parameter who=me -- 'echo "{{who}} on {{ACS::InstanceId}}"'
      fleethand render --instance web-1 --command greet
    """
    if ident and (words or given["file"]):
        raise click.UsageError("give either --command or a script, not both.")
    source: dict[str, Any] = {}
    if not ident:
        kind = given["kind"] or type_of(given["file"])
        text = content(words, given["file"], kind, from_environment=given["env_parameters"])
        interpolation = "env" if given["env_parameters"] else "text"
        source = {"command_content": text, "type": kind, "interpolation": interpolation}
    with session.open() as dispatcher:
        if ident:
            source = {"command_id": command_id_of(dispatcher, ident)}
        rendering = dispatcher.render(
            **source, parameters=options.parameters_of(given) or None, instance_id=given["instance_id"]
        )
    if given["as_json"]:
        shapes.print_json(rendering)
        return
    for name, value in sorted(rendering.environment.items()):
        click.echo(f"{name}={value}", err=True)
    click.echo(rendering.content, nl=not rendering.content.endswith("\n"))
