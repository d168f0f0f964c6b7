"""`fleethand registrar`: the process that hosts enrol themselves with."""

import logging

import click

from fleethand_dispatcher.cli.session import FleethandCommand, Session, pass_session


@click.command(cls=FleethandCommand, short_help="Let hosts enrol themselves, over HTTPS.")
@pass_session
def registrar(session: Session, /) -> None:
    """Let hosts enrol themselves with an activation, over HTTPS; runs until it is told to end.

    It needs the vault's key and the box key, and no signing key. Without a certificate of yours
    (FLEETHAND_REGISTRAR_CERT, FLEETHAND_REGISTRAR_KEY) it makes one at its first start; `fleethand activation create`
    prints how hosts recognise it.

    \b
    Example:
      FLEETHAND_REGISTRAR_URL=https://enrol.example.org:8443 fleethand registrar
    """
    from fleethand_dispatcher.registrar.serve import main  # noqa: PLC0415

    settings, _ = session.settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    main(settings)
