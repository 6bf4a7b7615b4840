"""The embedded ClickHouse engine (chdb) of one directory: one connection that writes, one that only reads.

The engine takes one process per directory. Reading runs beside writing; the reading connection is opened
read-only, which the engine itself enforces, and queries that would reach outside its own tables are refused after
the engine's own parser has taken them apart.
"""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from schemas.errors import ConfigurationError

#: Functions and table functions that read files, other hosts or run programs on behalf of the asker.
FORBIDDEN: Final = frozenset(
    {
        "azureblobstorage", "cluster", "clusterallreplicas", "dataframe", "deltalake", "executable", "file",
        "filecluster", "filesystem", "gcs", "hdfs", "hudi", "iceberg", "icebergs3", "icebergazure",
        "iceberglocal", "input", "jdbc", "mongodb", "mysql", "odbc", "paimon", "postgresql", "python", "redis",
        "remote", "remotesecure", "s3", "s3cluster", "sqlite", "url", "urlcluster", "ytsaurus", "arrowflight",
        "catboostevaluate", "dictionary", "prometheusquery", "prometheusqueryrange",
    }
)  # fmt: skip


class QueryRefused(Exception):
    """The engine or we refused a query; ``code`` is ClickHouse's error code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class EmbeddedEngine:
    """One open chdb directory.

    Parameters
    ----------
    directory
        Where the tables live; made when missing.

    Raises
    ------
    ConfigurationError
        chdb is not installed, or another process has the directory open.
    """

    def __init__(self, directory: Path) -> None:
        try:
            import chdb
        except ImportError as error:
            raise ConfigurationError(
                "the embedded ClickHouse engine is not installed: pip install 'scanstream[local]', or name a "
                "server with CLICKHOUSE_DSN"
            ) from error
        directory.mkdir(parents=True, exist_ok=True)
        try:
            connect: Any = chdb.connect  # has no types
            self._writer = connect(str(directory))
            self._reader = connect(f"file:{directory}?mode=ro")
        except Exception as error:
            raise ConfigurationError(
                f"the embedded audit store in {directory} cannot be opened ({str(error).splitlines()[0][:200]}): "
                "another audit writer may be running there; stop it, or name a server with CLICKHOUSE_DSN"
            ) from error
        self._directory = directory
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()

    def write(self, sql: str, params: dict[str, str], output_format: str) -> bytes:
        """Run any statement; for the audit writer alone."""
        with self._write_lock:
            return _run(self._writer, sql, params, output_format)

    def insert(self, statement: str, settings: str, data: bytes, input_format: str) -> None:
        """Insert data by an INSERT statement; for the audit writer alone.

        Goes through a file: chdb's streaming inserter reports success for rows that a constraint refused.

        Parameters
        ----------
        statement
            ``INSERT INTO table (columns)`` without FORMAT clause.
        settings
            SETTINGS clause, or nothing.
        data
            Rows in ``input_format``.
        """
        with self._write_lock, tempfile.NamedTemporaryFile(dir=self._directory, prefix="insert-") as rows:
            rows.write(data)
            rows.flush()
            sql = f"{statement} FROM INFILE '{rows.name}' {settings} FORMAT {input_format}"
            _run(self._writer, sql, {}, "TabSeparated")

    def read(self, sql: str, params: dict[str, str], output_format: str) -> bytes:
        """Run one reading query over the engine's own tables.

        Raises
        ------
        QueryRefused
            It is not one single query, it would write, or it reaches outside the tables.
        """
        with self._read_lock:
            _run(self._reader, "SELECT formatQuery({query:String})", {"query": _escaped(sql)}, "TSVRaw")
            tree = _run(self._reader, f"EXPLAIN AST {sql}", params, "TSVRaw").decode()
            reached = outside(tree)
            if reached:
                raise QueryRefused(f"Code: 497. DB::Exception: {reached} is not open to readers", 497)
            return _run(self._reader, sql, params, output_format)

    def close(self) -> None:
        """Close both connections; what was inserted is on disk already."""
        self._reader.close()
        self._writer.close()


def outside(tree: str) -> str | None:
    """What a query reaches beyond the tables of the store, or ``None``. Pure.

    Parameters
    ----------
    tree
        Listing of ``EXPLAIN AST``: one node per line, indented by its depth.
    """
    for line in tree.splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        if words[0] in {"Function", "TableFunction"} and words[1].lower() in FORBIDDEN:
            return words[1]
        if words[0] == "TableIdentifier" and not _TABLE.fullmatch(words[1]):
            return words[1]
        # a literal directly below the root is the file name of INTO OUTFILE
        if words[0] == "Literal" and line.startswith(" ") and not line.startswith("  "):
            return "INTO OUTFILE"
    return None


_TABLE: Final = re.compile(r"[\w.]+")


def _escaped(text: str) -> str:
    """Value of a query parameter in ClickHouse's Escaped format."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _run(connection: Any, sql: str, params: dict[str, str], output_format: str) -> bytes:
    try:
        result = connection.query(sql, output_format, params=params or None)
    except Exception as error:
        raise _refused(error) from error
    return bytes(result.bytes())


def _refused(error: Exception) -> QueryRefused:
    text = str(error)
    head, _, _ = text.removeprefix("Code: ").partition(".")
    return QueryRefused(text, int(head) if head.isdigit() else 1002)
