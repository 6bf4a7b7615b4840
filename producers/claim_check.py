"""Claim checks → pixels, headers and masks, over HTTP; and masks → claim checks.

The client that the worker and the writers redeem ``retrieve_url`` with. Metadata comes through dicomweb-client,
the same client that any user of the gateway would take. Two of its habits are switched off: it retries by itself,
invisibly, and it refuses UIDs with leading zeros. Instances go over httpx, each read as soon as it has come
(:mod:`producers.part10`): for a worker that is the largest part of what is not the model.

Guarantee: a caller gets exactly the instances that it named, and an artifact only with the digest of its claim
check; otherwise an error says whether to wait for the gateway or to try the message again. One object may be used
from many threads; connections are kept open.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.valuerep import format_number_as_ds

from producers.direct import direct_client, direct_session
from producers.part10 import dataset_of
from producers.retrieved import TooLarge, Unreadable, files
from producers.retry_after import retry_after_s
from producers.tolerance import read_without_validation
from schemas.errors import DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.events import Artifact

_SERVICE: Final = "/dicom-web"
_STUDIES: Final = f"{_SERVICE}/studies/"
_AS_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
#: Of one instance: no Part 10 file that a gateway takes is larger.
_MOST_BYTES: Final = 8 << 30
_BROKEN: Final = (requests.RequestException, httpx.HTTPError, Unreadable, TooLarge, InvalidDicomError, EOFError)
_VALUE_KEYS: Final = ("Value", "InlineBinary")
#: Not 500: that may be one broken object, which must not hold up all that wait behind it.
_GATEWAY_AWAY: Final = frozenset({429, 502, 503, 504})
#: A gateway that runs takes a connection at once; one that is gone must not cost its waiting caller more.
_CONNECT_TIMEOUT_S: Final = 3.0

T = TypeVar("T")


class NotHeld(TransientFailure):
    """The gateway answers, and does not hold what was asked for: not yet, or not any more."""


def gateway_root(retrieve_url: str) -> str:
    """Root of the gateway that a WADO-RS URL of a study, series or instance points to, without trailing slash.

    Raises
    ------
    InvalidMessage
        The URL is not ``http(s)://…/dicom-web/studies/…``.
    """
    root, found, _ = retrieve_url.partition(_STUDIES)
    if not found or not _is_root(root):
        raise InvalidMessage(
            f"{retrieve_url!r} is no WADO-RS URL of a gateway (http://host:port{_STUDIES}…): correct "
            "SCANSTREAM_GATEWAY_PUBLIC_URL of the gateway that sent it"
        )
    return root


def study_of(retrieve_url: str) -> str:
    """Study Instance UID in a WADO-RS URL.

    Raises
    ------
    InvalidMessage
        As in :func:`gateway_root`.
    """
    gateway_root(retrieve_url)
    return retrieve_url.partition(_STUDIES)[2].split("/")[0]


def _is_root(text: str) -> bool:
    """Whether something can be asked there at all: also the port must be one."""
    try:
        url, parts = httpx.URL(text), urlsplit(text)
        is_port = parts.port != 0
    except (httpx.InvalidURL, ValueError):
        return False
    return is_port and url.scheme in ("http", "https") and bool(url.host) and not (parts.query or parts.fragment)


class ClaimCheck:
    """Client of the gateways' DICOMweb and artifact services.

    Parameters
    ----------
    timeout_s
        Seconds to wait for each piece of a response; for a connection at most 3.
    """

    def __init__(self, timeout_s: float = 60.0) -> None:
        read_without_validation()
        connect_s = min(timeout_s, _CONNECT_TIMEOUT_S)
        self._timeouts_s = (connect_s, timeout_s)
        self._http = direct_client(httpx.Timeout(timeout_s, connect=connect_s))
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of this thread and those for artifacts."""
        self._http.close()
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is not None:
            session.close()

    def fetch_series(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Instances of a series with their pixel data, as stored.

        Parameters
        ----------
        retrieve_url
            WADO-RS URL of the study, or of something in it.
        series_instance_uid
            The series.
        sop_instance_uids
            Which instances, and in which order.

        Raises
        ------
        NotHeld
            The study, the series or one of the instances is not there (yet).
        TransientFailure
            The response cannot be read.
        DestinationUnavailable
            The gateway does not answer or cannot serve now.
        InvalidMessage
            ``retrieve_url`` is none.
        """
        root, study = gateway_root(retrieve_url), study_of(retrieve_url)
        url = f"{root}{_STUDIES}{study}/series/{series_instance_uid}"
        if len(sop_instance_uids) == 1:
            url += f"/instances/{sop_instance_uids[0]}"
        with _failures(root), self._http.stream("GET", url, headers={"Accept": _AS_STORED}) as response:
            _raise_for(response.status_code, root, response.headers.get("retry-after"))
            content_type = response.headers.get("content-type", "")
            found = [dataset_of(data) for data in files(content_type, response.iter_bytes(), _MOST_BYTES)]
        return _exactly(found, sop_instance_uids)

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """All attributes of instances but bulk data: no pixels, no large binary values.

        Values that are not valid for their VR are left out. Text is Unicode, Specific Character Set ISO_IR 192.
        Parameters and errors are those of :meth:`fetch_series`.
        """
        study = study_of(retrieve_url)

        def retrieve(client: DICOMwebClient) -> list[Dataset]:
            if len(sop_instance_uids) == 1:
                uids = (study, series_instance_uid, sop_instance_uids[0])
                return [header_of(client.retrieve_instance_metadata(*uids))]
            documents = client.retrieve_series_metadata(study, series_instance_uid)
            wanted = set(sop_instance_uids)
            return [header_of(item) for item in documents if _sop_instance_uid(item) in wanted]

        return _exactly(self._ask(retrieve_url, retrieve), sop_instance_uids)

    def fetch_study_header(self, retrieve_url: str) -> Dataset:
        """As :meth:`fetch_headers` of any one instance of a study, for those who know no instance of it.

        Raises
        ------
        NotHeld
            The study has no instance (any more).
        TransientFailure
            The response cannot be read.
        DestinationUnavailable
            The gateway does not answer or cannot serve now.
        InvalidMessage
            ``retrieve_url`` is none.
        """
        study = study_of(retrieve_url)

        def retrieve(client: DICOMwebClient) -> Dataset | None:
            found = client.search_for_instances(study, limit=1)
            if not found:
                return None
            series, instance = (str(found[0][tag]["Value"][0]) for tag in ("0020000E", "00080018"))
            return header_of(client.retrieve_instance_metadata(study, series, instance))

        header = self._ask(retrieve_url, retrieve)
        if header is None:
            raise NotHeld(
                "the gateway holds no instance of the study (any more): send the study again if it stays so"
            )
        return header

    def put_artifact(
        self,
        retrieve_url: str,
        kind: str,
        media_type: str,
        data: bytes,
        shape: tuple[int, ...],
    ) -> Artifact:
        """Keep bytes at the gateway that ``retrieve_url`` points to; returns when they are durable there.

        Parameters
        ----------
        retrieve_url
            WADO-RS URL of the study, or of something in it.
        kind
            What it is, such as ``mask``.
        media_type
            How the bytes are packed.
        data
            Packed bytes.
        shape
            Array shape before packing, slices first.

        Raises
        ------
        TransientFailure
            The bytes arrived damaged.
        DestinationUnavailable
            The gateway does not answer or has no space.
        """
        root = gateway_root(retrieve_url)
        digest = hashlib.sha256(data).hexdigest()
        url = f"{root}/artifacts/{digest}"
        with _failures(root):
            response = self._http.put(url, content=data, headers={"Content-Type": "application/octet-stream"})
            _raise_for(response.status_code, root, response.headers.get("retry-after"))
        return Artifact(kind, media_type, url, digest, len(data), shape)

    def get_artifact(self, artifact: Artifact) -> bytes:
        """Bytes of an artifact, verified.

        Raises
        ------
        NotHeld
            It is not there.
        TransientFailure
            Its bytes are not those of the claim check.
        DestinationUnavailable
            The gateway does not answer.
        InvalidMessage
            Its URL is none.
        """
        root = artifact.retrieve_url.partition("/artifacts/")[0]
        if not _is_root(root):
            raise InvalidMessage(
                f"{artifact.retrieve_url!r} is no URL of an artifact (http://host:port/artifacts/…): correct "
                "SCANSTREAM_GATEWAY_PUBLIC_URL of the gateway that keeps it, and run the model again"
            )
        with _failures(root):
            response = self._http.get(artifact.retrieve_url)
            _raise_for(response.status_code, root, response.headers.get("retry-after"))
        if hashlib.sha256(response.content).hexdigest() != artifact.sha256:
            raise TransientFailure(
                f"the artifact {artifact.sha256} came back with other bytes: check the disk of the gateway {root}"
            )
        return response.content

    def _ask(self, retrieve_url: str, question: Callable[[DICOMwebClient], T]) -> T:
        root = gateway_root(retrieve_url)
        with _failures(root):
            return question(self._client(root))

    def _client(self, root: str) -> DICOMwebClient:
        """The calling thread's client: a requests session is not meant to be shared by threads."""
        clients: dict[str, DICOMwebClient] | None = getattr(self._local, "clients", None)
        if clients is None:
            clients = self._local.clients = {}
            self._local.session = direct_session()
        client = clients.get(root)
        if client is None:
            client = DICOMwebClient(
                f"{root}{_SERVICE}", session=self._local.session, permissive_uid=True, timeout=self._timeouts_s
            )
            client.set_http_retry_params(retry=False)
            clients[root] = client
        return client


def header_of(document: dict[str, dict[str, Any]]) -> Dataset:
    """Data set of a DICOM JSON object (PS3.18 F) without its bulk data."""
    header = Dataset()
    for key, attribute in document.items():
        element = _element_of(key, attribute)
        if element is not None:
            header.add(element)
    return header


def _element_of(key: str, attribute: dict[str, Any]) -> DataElement | None:
    if "BulkDataURI" in attribute:
        return None
    vr = attribute["vr"]
    value_key = next((name for name in _VALUE_KEYS if name in attribute), None)
    if vr == "SQ":
        return DataElement(int(key, 16), "SQ", [header_of(item or {}) for item in attribute.get("Value", [])])
    value = attribute[value_key] if value_key else []
    if vr == "DS":
        value = [_fitting(item) for item in value]
    try:
        return DataElement.from_json(Dataset, key, vr, value, value_key)
    except (ValueError, TypeError, OverflowError):
        return None


def _fitting(number: Any) -> Any:
    """A number whose shortest text is longer than the 16 characters of a DS (PS3.5 6.2): the nearest that fits."""
    if isinstance(number, float) and len(repr(number)) > 16:
        return float(format_number_as_ds(number))
    return number


def _sop_instance_uid(document: dict[str, dict[str, Any]]) -> str:
    return str((document.get("00080018", {}).get("Value") or [""])[0])


def _exactly(found: Sequence[Dataset], sop_instance_uids: Sequence[str]) -> list[Dataset]:
    by_uid = {str(item.SOPInstanceUID): item for item in found}
    missing = [uid for uid in sop_instance_uids if uid not in by_uid]
    if missing:
        raise NotHeld(
            f"the gateway holds {len(sop_instance_uids) - len(missing)} of {len(sop_instance_uids)} instances, "
            f"{missing[0]} is missing: send the study again if it stays so"
        )
    return [by_uid[uid] for uid in sop_instance_uids]


@contextmanager
def _failures(root: str) -> Iterator[None]:
    """Translate what the two HTTP libraries raise into what the runtime must do."""
    try:
        yield
    except requests.HTTPError as error:
        if error.response is not None:
            _raise_for(error.response.status_code, root, error.response.headers.get("Retry-After"), error)
        raise
    except (requests.ConnectionError, requests.Timeout, httpx.TransportError) as error:
        raise DestinationUnavailable(
            f"the gateway {root} does not answer ({type(error).__name__}): check that its process runs and that "
            "SCANSTREAM_GATEWAY_PUBLIC_URL can be reached from here"
        ) from error
    except httpx.InvalidURL as error:
        raise InvalidMessage(
            f"no URL at the gateway {root} can be made of the UIDs of this message: find out who wrote it"
        ) from error
    except (*_BROKEN, ValueError, LookupError) as error:
        raise TransientFailure(
            f"the response of the gateway {root} cannot be read: {type(error).__name__}"
        ) from error


def _raise_for(status: int, root: str, retry_after: str | None, cause: Exception | None = None) -> None:
    """Error for an HTTP status; none for success."""
    if status < 400:
        return
    if status in _GATEWAY_AWAY:
        seconds = retry_after_s(retry_after, datetime.now(UTC))
        raise DestinationUnavailable(
            f"the gateway {root} cannot serve now (HTTP {status}): see its log", seconds
        ) from cause
    if status == 404:
        raise NotHeld(
            f"the gateway {root} does not hold this object (HTTP 404): send the study again if it stays so"
        ) from cause
    raise TransientFailure(f"the gateway {root} refused the request (HTTP {status}): see its log") from cause
