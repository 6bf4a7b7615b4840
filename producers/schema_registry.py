"""Settings → the codec of a process: framed by a schema registry when one is set, else self-describing.

Apart from the client, so that a process without a registry does not spend start-up time on an HTTP library.
"""

from __future__ import annotations

from schemas.codec import Codec
from schemas.settings import RegistrySettings


def codec_from(settings: RegistrySettings) -> Codec:
    """Codec of a process.

    Parameters
    ----------
    settings
        With a URL, messages get Confluent framing; without, Avro single-object encoding. Both are read, but an id
        of a registry only with a URL.

    Raises
    ------
    ConfigurationError
        The URL is none.
    """
    if not settings.url:
        return Codec()
    from producers.registry_client import SchemaRegistry

    return Codec(SchemaRegistry(settings))
