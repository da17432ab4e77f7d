"""Which Redis is meant when nobody names one: that of the environment or profile, else the embedded broker.

Everybody who connects without a URL comes here, so that the commands and the Python API use the same one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatcher import shortcut

if TYPE_CHECKING:
    from dispatcher.settings import Settings


def of(settings: Settings) -> str:
    """The URL that the settings mean; the embedded broker is started when they name none.

    Raises `BadValue`, `BrokerUnavailable`.
    """
    if settings.redis_url:
        return settings.url_with_tls(settings.redis_url)
    from dispatcher import broker

    return broker.ensure(broker.default_data_folder())


def settings() -> Settings:
    """Those of this process. Raises `BadValue`, `NotFound` for what is wrong in environment or profile."""

    def load() -> Settings:
        from dispatcher.settings import resolve

        return resolve().settings

    return shortcut.settings(None, {}, load)
