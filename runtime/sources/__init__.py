"""Sources of events: live sensors or a recording."""
