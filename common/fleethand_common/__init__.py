"""The words of the domain that the control plane and the hosts share: no broker, no disk, no clock of its own."""

__version__ = "0.1.0"
