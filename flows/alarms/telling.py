"""Notifies every address in the settings of alarms: webhooks, e-mail, and whatever else Apprise supports."""

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from pydantic import SecretStr

from flows.alarms.record import Alarm
from ingest.storage.errors import SettingError

if TYPE_CHECKING:
    from apprise import Apprise

# Seconds for all addresses together. A webhook that hangs must delay neither a refresh nor the other addresses.
BUDGET = 10.0

_MOST_NAMED = 10
_MOST_SHOPS = 20


@dataclass(frozen=True, slots=True)
class Message:
    """The message about the alarms of one cause that were raised, or cleared, together."""

    alarms: tuple[Alarm, ...]

    @property
    def is_raised(self) -> bool:
        return self.alarms[0].cleared_at is None

    @property
    def title(self) -> str:
        title = self.alarms[0].cause.title
        return f"Regulars: {title}" if self.is_raised else f"Regulars: cleared: {title}"

    @property
    def body(self) -> str:
        """What is wrong, since when, in which shops, and what to do; or since when it is cleared."""
        what = [alarm.what for alarm in self.alarms[:_MOST_NAMED]]
        if more := len(self.alarms) - len(what):
            what.append(f"And {more:,} more.")
        since = min(alarm.since for alarm in self.alarms)
        lines = [*what, f"Since: {_said(since)}"]
        if shops := list(dict.fromkeys(shop for alarm in self.alarms for shop in alarm.shops)):
            others = f" and {len(shops) - _MOST_SHOPS:,} more" if len(shops) > _MOST_SHOPS else ""
            lines.append(f"Shops: {', '.join(shops[:_MOST_SHOPS])}{others}")
        if self.is_raised:
            lines.append(f"What to do: {self.alarms[0].cause.remedy}")
        else:
            # `what` is the text of when it was raised.
            lines.append(f"Gone since: {_said(max(alarm.cleared_at or alarm.since for alarm in self.alarms))}")
        return "\n".join(lines)


def messages(alarms: Sequence[Alarm]) -> list[Message]:
    """One message for the alarms of a cause that were raised, one for those that were cleared."""

    def order(alarm: Alarm) -> tuple[bool, str]:
        return alarm.cleared_at is not None, alarm.cause_name

    return [Message(tuple(group)) for _, group in groupby(sorted(alarms, key=order), key=order)]


def tell(urls: Sequence[SecretStr], to_tell: Sequence[Sequence[Message]], *, budget: float) -> list[list[Message]]:
    """Sends each address its messages, in their order. Returns what each took within `budget` seconds for them all.

    Raises SettingError, which names an address that can't be read by its place, because it may hold a password.
    """
    services = _services(urls)
    taken: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()

    def send(place: int) -> None:
        for message in to_tell[place]:
            if not services[place].notify(title=message.title, body=message.body, body_format="text"):
                break
            taken.put((place, message))
        taken.put((place, None))

    for place in range(len(services)):
        # A daemon, so that a process need not wait for an address that hangs when it ends.
        threading.Thread(target=send, args=[place], name="regulars-alarm", daemon=True).start()
    deadline = time.monotonic() + budget
    told: list[list[Message]] = [[] for _ in services]
    ended = 0
    while ended < len(services):
        try:
            place, message = taken.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if message is None:
            ended += 1
        else:
            told[place].append(message)
    return told


def address_of(url: SecretStr) -> str:
    """The stored form of an address: a hash, since it may hold a password."""
    return hashlib.sha256(url.get_secret_value().encode()).hexdigest()[:16]


def _services(urls: Sequence[SecretStr]) -> "list[Apprise]":
    from apprise import Apprise

    # It logs an address that it can't read, with the password in it.
    logging.getLogger("apprise").disabled = True
    services = [Apprise() for _ in urls]
    read = [service.add(url.get_secret_value()) for service, url in zip(services, urls, strict=True)]
    if unread := [str(place) for place, is_read in enumerate(read, start=1) if not is_read]:
        raise SettingError(
            f"REGULARS_ALARM_URLS: address {', '.join(unread)} of {len(urls)} can't be read; "
            "docs/alarms.md has examples."
        )
    return services


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
