"""The health of a run, for those who watch many devices: figures, a heartbeat, systemd."""
