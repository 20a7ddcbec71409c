"""Signals by which somebody ends the work, and what is said of it then."""

import signal

_ENDING = {
    "SIGINT": "Stopped by Ctrl-C",
    "SIGTERM": "Stopped by a request to terminate",
    "SIGHUP": "Stopped, as the terminal was closed",
    "SIGBREAK": "Stopped by Ctrl-Break, or as the terminal was closed",
}
REASONS: dict[signal.Signals, str] = {
    getattr(signal, name): reason for name, reason in _ENDING.items() if hasattr(signal, name)
}
"""Signals that end the work, as far as this system has them, and what is said then."""
