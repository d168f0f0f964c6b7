"""`fleethand run` and `fleethand invoke`: one call to many hosts, watched until the last one has finished."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fleethand_dispatcher.cli import exits, options, shapes
from fleethand_dispatcher.cli.lookup import command_id_of
from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session
from fleethand_dispatcher.cli.tally import hosts
from fleethand_dispatcher.cli.targets import print_preview
from fleethand_dispatcher.cli.timing import frequency_of, frequency_options, policy_options, timing_of
from fleethand_dispatcher.cli.upcoming import print_scheduled
from fleethand_dispatcher.cli.watch import View, Watch
from fleethand_dispatcher.cli.words import content, type_of

if TYPE_CHECKING:
    from fleethand_dispatcher import Dispatcher, Invocation


@click.command(
    cls=FleethandCommand,
    short_help="Run a command on many hosts.",
    epilog=exits.HELP,
    context_settings={"allow_interspersed_args": False},
)
@options.target_options
@options.content_options
@options.parameter_options
@options.template_options
@options.execution_options
@click.option("--keep", is_flag=True, help="Keep the command under --command-name, to be invoked again.")
@click.option("--command-name", default="", metavar="NAME", help="What the command is called in lists and in Flower.")
@click.option("--description", default="", metavar="TEXT", help="What the kept command is for.")
@frequency_options
@policy_options
@options.sending_options
@options.output_options
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[--] COMMAND…")
@pass_session
@click.pass_context
def run(ctx: click.Context, session: Session, /, *, words: tuple[str, ...], **given: Any) -> None:
    """Run a command on many hosts, show its output live and end with one answer.

    One word after -- is a line of the shell's own language ('cd /tmp && ls *.log'); several words are a program and
    its arguments, which are passed on exactly as given. Without words the script comes from --file or stdin.
    With --rate, --at or --cron it makes a schedule, prints its id and its next runs, and does not wait.

    \b
    Example:
      fleethand run --all -- hostname
      fleethand run --tag env=prod --limit 10% -- 'systemctl is-active nginx || exit 3'
      fleethand run --name 'web-*' --file deploy.sh --timeout 10m --parameter version=1.2
      fleethand run --tag env=prod --cron '0 30 3 * * ? Europe/Berlin' -- apt-get -y upgrade
      fleethand run --instance web-1 --env-parameters --parameter who="$USER" -- 'echo "hello {{who}}"'
    """
    targets = options.targets_of(given)
    arguments = {**_run_arguments(words, given), **targets, **timing_of(given)}
    ctx.exit(_send_and_watch(session, targets, given, lambda dispatcher: dispatcher.run_command(**arguments)))


def _run_arguments(words: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    kind = given["kind"] or type_of(given["file"])
    template = options.template_of(given)
    return {
        "command_content": content(words, given["file"], kind, from_environment=template["interpolation"] == "env"),
        "type": kind,
        "name": given["command_name"],
        "description": given["description"],
        "keep_command": given["keep"],
        "parameters": options.parameters_of(given) or None,
        **template,
        **options.execution_of(given),
    }


@click.command(cls=FleethandCommand, short_help="Run a kept command on many hosts.", epilog=exits.HELP)
@click.argument("command", metavar="COMMAND")
@options.target_options
@options.parameter_options
@options.execution_options
@frequency_options
@policy_options
@options.sending_options
@options.output_options
@pass_session
@click.pass_context
def invoke(ctx: click.Context, session: Session, /, *, command: str, **given: Any) -> None:
    """Run a kept COMMAND, given by its id or its name, on many hosts; shows and ends as `run` does.

    \b
    Example:
      fleethand invoke deploy --tag env=prod --parameter version=1.2
      fleethand invoke c-3k2v9 --all --detach
      fleethand invoke nightly --all --cron '0 30 3 * * ? Europe/Berlin'
    """
    targets = options.targets_of(given)
    timing = timing_of(given)

    def send(dispatcher: "Dispatcher") -> "Invocation":
        sent: Invocation = dispatcher.invoke_command(
            command_id_of(dispatcher, command),
            parameters=options.parameters_of(given) or None,
            **targets,
            **timing,
            **options.execution_of(given),
        )
        return sent

    ctx.exit(_send_and_watch(session, targets, given, send))


def _send_and_watch(
    session: Session, targets: dict[str, Any], given: dict[str, Any], send: "Callable[[Dispatcher], Invocation]"
) -> int:
    with session.open() as dispatcher:
        if given["preview"]:
            print_preview(dispatcher.preview_targets(**targets), as_json=given["as_json"])
            return exits.OK
        invocation = send(dispatcher)
        if given["dry_run"]:
            return _print_dry_run(dispatcher, targets, as_json=given["as_json"])
        if frequency_of(given):
            print_scheduled(dispatcher, invocation.invoke_id, as_json=given["as_json"])
            return exits.OK
        if given["detach"]:
            return print_sent(invocation, as_json=given["as_json"])
        return Watch(dispatcher, invocation, View.of(given)).run()


def _print_dry_run(dispatcher: "Dispatcher", targets: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        shapes.print_json({"invocation_id": "", "invocation_status": "", "counts": {}, "instances": []})
        return exits.OK
    preview = dispatcher.preview_targets(**targets)
    click.echo(f"valid; nothing was sent. It would reach {hosts(len(preview.instance_ids))}.", err=True)
    return exits.OK


def print_sent(invocation: "Invocation", *, as_json: bool) -> int:
    """Print what was started and is not waited for."""
    if as_json:
        shapes.print_json(shapes.invocation_object(invocation.record(), invocation.results()))
    else:
        click.echo(invocation.invoke_id)
    return exits.OK
