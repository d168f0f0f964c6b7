"""The dashboard: Flower on the control plane's Celery app, read-only, told nothing that must stay secret."""

from fleethand_dispatcher.dashboard.serve import serve

__all__ = ["serve"]
