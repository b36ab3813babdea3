"""Checks what a request contains, and runs slow work outside the event loop."""

from __future__ import annotations

import asyncio
import json
import math
from functools import partial
from typing import Any, Callable, Dict, TypeVar

from aiohttp import web

from cosmo_runtime.models.bundle import BundleError
from cosmo_runtime.runtime.labels.prompt import PromptError
from cosmo_runtime.runtime.labels.table import LabelsError
from cosmo_runtime.runtime.web.guard import Refused
from cosmo_runtime.sensors.recording import RecordingError

_FAILURES = (RecordingError, LabelsError, PromptError, BundleError)

Result = TypeVar("Result")


async def content_of(request: web.Request) -> Dict[str, Any]:
    """The JSON object that a page posted.

    Raises:
        Refused: the content is not a JSON object.
    """
    if request.content_type != "application/json":
        raise Refused("Expected JSON.", 415)
    try:
        content = json.loads(await request.text())
    except (ValueError, RecursionError, LookupError) as error:  # an unknown charset is a LookupError
        raise Refused("That is no JSON.") from error
    if not isinstance(content, dict):
        raise Refused("That is no JSON object.")
    return content


def number(content: Dict[str, Any], name: str, least: float = 0.0, most: float = 1e9) -> float:
    """A number in posted content or in a query.

    Raises:
        Refused: it is missing, not a number, or out of bounds.
    """
    try:
        value = float(content[name])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Refused(f"{name}: expected a number.") from error
    if not math.isfinite(value) or not least <= value <= most:
        raise Refused(f"{name}: expected a number from {least:g} to {most:g}.")
    return value


async def beside(work: Callable[..., Result], *arguments: Any) -> Result:
    """Runs work in another thread.

    Raises:
        Refused: it failed in a way that a person can fix.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))
    except _FAILURES as error:
        raise Refused(str(error), 422) from error
    except FileNotFoundError as error:
        raise Refused("It is not there any more.", 404) from error
    except OSError as error:
        raise Refused(f"The disk refuses it: {error.strerror}.", 507) from error
