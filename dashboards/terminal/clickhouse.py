"""A query → rows of the audit store, by ClickHouse's HTTP interface, read-only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidInput


@dataclass(frozen=True)
class Rows:
    """Answer to a query."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


def ask(address: SecretStr, query: str, parameters: dict[str, Any] | None = None) -> Rows:
    """Run one query.

    Parameters
    ----------
    address
        ClickHouse DSN or HTTP address.
    query
        A single statement that reads.
    parameters
        Values of ``{name:Type}`` placeholders.

    Raises
    ------
    DestinationUnavailable
        Nothing answers there.
    ConfigurationError
        The address is none, or the store refuses the account.
    InvalidInput
        The store refuses the query.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

    # its own words about a failed request come on top of the error that it raises
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    place = _place(address)
    try:
        client = clickhouse_connect.get_client(dsn=address.get_secret_value(), connect_timeout=5)
    except ClickHouseError as error:
        if isinstance(error, DatabaseError) and error.code is not None:
            raise ConfigurationError(
                f"the audit store at {place} refuses the connection ({_said(error)}): correct CLICKHOUSE_DSN"
            ) from error
        raise DestinationUnavailable(
            f"the audit store at {place} does not answer: start the stack (scanstream up), or set CLICKHOUSE_DSN"
        ) from error
    try:
        # 2: reading only, but settings may be given along (ClickHouse's `readonly`)
        answer = client.query(query, parameters=parameters, settings={"readonly": 2})
    except ClickHouseError as error:
        # without a code of ClickHouse, the connection failed and not the query
        if isinstance(error, DatabaseError) and error.code is not None:
            raise InvalidInput(f"the audit store refuses the query ({_said(error)}): correct it") from error
        raise DestinationUnavailable(f"the audit store broke off ({_said(error)}): try again") from error
    finally:
        client.close()
    return Rows(tuple(answer.column_names), answer.result_rows)


def _place(address: SecretStr) -> str:
    """Host and port, without credentials."""
    try:
        parts = urlsplit(address.get_secret_value())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ConfigurationError("CLICKHOUSE_DSN is no address: set it to clickhouse://USER:PASSWORD@HOST:PORT/DB")
    return f"{host}:{port}" if port else host


def _said(error: Exception) -> str:
    """What the server said, without what the client wraps around it."""
    said = " ".join(str(error).split()).rpartition("DB::Exception: ")[2]
    return said.rpartition(" (for url")[0] or said[:300]
