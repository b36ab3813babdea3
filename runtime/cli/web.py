"""``cosmo-runtime web``: the page in the browser, with sensors or without."""

from __future__ import annotations

import argparse

from cosmo_runtime.runtime.cli import default
from cosmo_runtime.runtime.cli.common import DONE, UsageError, say
from cosmo_runtime.runtime.cli.options import add_bundle, add_home, add_rig
from cosmo_runtime.runtime.cli.page import add_page, open_page
from cosmo_runtime.runtime.cli.parser import Parser
from cosmo_runtime.runtime.cli.values import ENGINES

_HELP = """\
The page shows live sensors and predictions. It records, plays recordings back, labels them, and fine-tunes models.
Only this machine can open it. From another one, run `ssh -L 8642:localhost:8642 THIS-MACHINE` and open
http://localhost:8642 there. To serve it on any other address, give a token.

examples:
  cosmo-runtime web --sensors imu,depth,radar
  cosmo-runtime web --sensors imu,depth,radar --emulate person     no hardware needed
  cosmo-runtime web                                                recordings only
  cosmo-runtime web --listen 0.0.0.0:8642 --token-file token.txt
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    command = Parser(
        "cosmo-runtime web",
        description="Serves a page for the browser: watch live, record, play back, label, fine-tune (needs [web]).",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_page(command)
    add_rig(command, required=False)
    add_bundle(command)
    add_home(command)
    command.add_argument(
        "--engine",
        choices=ENGINES,
        help="the engine that runs the model (default: auto, the fastest one that `build` verified)",
    )
    of_a_run = vars(default.parser().parse_args(["--sensors", "imu"]))  # options that the page does not offer
    command.set_defaults(**{**of_a_run, "sensors": None, "web": True, "page_only": True, "follow": True})
    return command


def run(options: argparse.Namespace) -> int:
    """Runs the command. Returns the exit code."""
    from cosmo_runtime.runtime.config import load_config

    config = load_config(options.config)
    if options.sensors:
        options.follow = not (options.bundle or config.recognition.bundle)
        return default.run(options)
    if options.emulate or options.duration:
        raise UsageError("--emulate and --duration need --sensors")
    opened = open_page(options, config)
    from cosmo_runtime.runtime.web.server import serve

    say("without --sensors, it shows recordings only; Ctrl-C ends")
    serve(opened.settings, opened.listening)
    return DONE
