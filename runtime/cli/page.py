"""Shared by commands that serve the page: its options, and opening its address."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

from cosmo_runtime.places import cache_folder
from cosmo_runtime.runtime.cli.common import Failure, UsageError, say
from cosmo_runtime.runtime.cli.options import DEFAULT_HOME
from cosmo_runtime.runtime.cli.values import address
from cosmo_runtime.runtime.state import recordings_folder, state_folder

if TYPE_CHECKING:
    from cosmo_runtime.runtime.config import Config
    from cosmo_runtime.runtime.web.server import Settings

LISTEN = "127.0.0.1:8642"


class Opened(NamedTuple):
    """An open address, and the server for it."""

    settings: Settings
    listening: socket.socket


def add_page(command: argparse.ArgumentParser) -> None:
    """The options of every command that serves the page."""
    command.add_argument(
        "--listen", type=address, metavar="ADDRESS:PORT", help=f"address of the page (default: {LISTEN})"
    )
    command.add_argument(
        "--token", metavar="TOKEN", help="a password for the page; needed if other machines can open it"
    )
    command.add_argument(
        "--token-file", type=Path, metavar="FILE", help="a file with the token, which only you may read"
    )
    command.add_argument(
        "--recordings",
        type=Path,
        metavar="FOLDER",
        help=f"folder of the page's recordings (default: {recordings_folder()})",
    )


def open_page(options: argparse.Namespace, config: Config) -> Opened:
    """Opens the address and says where the page is.

    Args:
        options: the command's options.
        config: the configuration that it read.

    Raises:
        UsageError: other machines could reach it without a token, or the token is invalid.
        Failure: the address is in use, the folder cannot be created, or the extra is not installed.
    """
    try:
        from cosmo_runtime.runtime.web.guard import is_loopback
        from cosmo_runtime.runtime.web.server import Settings, listen
    except ImportError as error:
        raise Failure(f"the page needs the extra [web] ({error}): pip install 'cosmo-runtime[web]'") from error
    host, port = options.listen or address(LISTEN)
    token = _token(options)
    if not token and not is_loopback(host):
        raise UsageError(
            f"--listen {host}: others could reach this address, so it needs --token-file FILE "
            "(openssl rand -hex 16 > FILE; chmod 600 FILE). Or leave it out, and use ssh -L 8642:localhost:8642"
        )
    folder = (options.recordings or recordings_folder()).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise Failure(f"--recordings {folder}: {error.strerror}") from error
    try:
        listening = listen(host, port)
    except OSError as error:
        raise Failure(f"--listen {host}:{port}: {error.strerror}; another port may be free") from error
    port = listening.getsockname()[1]
    shown = "localhost" if is_loopback(host) else socket.gethostname() if host in ("0.0.0.0", "::") else host
    link = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
    say(f"the page is at {link}{f'enter?token={token}' if token else ''}")
    home = options.home if options.home not in (None, DEFAULT_HOME) else state_folder()
    output = options.output.absolute() if options.output and str(options.output) != "-" else None
    settings = Settings(folder, token, cache_folder(), home, options.emulate, output, config.episodes)
    return Opened(settings, listening)


def _token(options: argparse.Namespace) -> Optional[str]:
    from cosmo_runtime.runtime.web.guard import check_token, read_token

    if options.token and options.token_file:
        raise UsageError("--token and --token-file: give one of them")
    try:
        if options.token:
            return check_token(options.token)
        return read_token(options.token_file) if options.token_file else None
    except ValueError as error:
        raise UsageError(f"--token: {error}") from error
    except OSError as error:
        raise Failure(f"--token-file {options.token_file}: {error.strerror}") from error
