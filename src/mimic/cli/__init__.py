"""The command line: one thin file per command, and the few things that commands share."""
