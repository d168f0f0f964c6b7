"""The embedded stack: everything of Fleethand on one machine, started and stopped by one command."""
