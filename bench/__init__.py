"""What Fleethand costs, beside what one would otherwise use, in one run on one machine."""
