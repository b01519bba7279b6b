"""A downloader for pooch that survives interruptions.

The transfer goes to ``FILE.part`` and is continued with an HTTP range request (RFC 9110, section
14), at once after a broken connection and also by a later run. ``If-Range`` with the entity tag of
the first answer makes sure that both halves are of the same file.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciar.errors import UsageError

if TYPE_CHECKING:
    from requests import Response

_CHUNK = 1 << 18


class ResumableDownloader:
    """Callable as pooch expects: ``downloader(url, output_file, pooch)``.

    Args:
        part: where the unfinished transfer is kept.
        progress: show a progress bar.
        retries: how many times in a row a broken connection is taken up again.
        pause: seconds before the first retry, doubled each time.
        timeout: seconds without an answer.
    """

    def __init__(
        self,
        part: Path,
        *,
        progress: bool = True,
        retries: int = 4,
        pause: float = 1.0,
        timeout: float = 30.0,
    ) -> None:
        self._part, self._progress, self._retries = part, progress, retries
        self._pause, self._timeout = pause, timeout
        self._tag = part.with_name(part.name + ".etag")

    def __call__(self, url: str, output_file: Any, pooch: Any = None) -> None:
        """Fetch ``url`` to ``output_file``.

        Raises:
            UsageError: no connection, an HTTP error, or no space; the finished part is kept.
        """
        import requests

        for attempt in range(self._retries + 1):
            try:
                self._transfer(url)
                break
            except requests.HTTPError as error:
                raise UsageError(f"{url}: {error}; check the address or try later") from error
            except requests.RequestException as error:
                if attempt == self._retries:
                    raise UsageError(
                        f"{url}: the transfer broke off ({error}); {self._have():,} bytes "
                        "are kept, run the command again to go on"
                    ) from error
                time.sleep(self._pause * 2**attempt)
            except OSError as error:
                raise UsageError(f"{self._part}: cannot be written ({error})") from error
        os.replace(self._part, output_file)
        self._tag.unlink(missing_ok=True)

    def _have(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _headers(self, have: int) -> dict[str, str]:
        # identity: a compressed answer cannot be continued by byte offsets
        headers = {"Accept-Encoding": "identity"}
        if have and self._tag.exists():
            headers |= {"Range": f"bytes={have}-", "If-Range": self._tag.read_text("utf-8")}
        elif have:
            headers["Range"] = f"bytes={have}-"
        return headers

    def _transfer(self, url: str) -> None:
        import requests

        have = self._have()
        with requests.get(
            url, headers=self._headers(have), stream=True, timeout=self._timeout
        ) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                if answer.headers.get("Content-Range") == f"bytes */{have}":
                    return  # everything had arrived before the interruption
                self._part.unlink()
                raise requests.ConnectionError("the kept part does not fit the file")
            answer.raise_for_status()
            continued = answer.status_code == requests.codes.partial_content
            self._remember(answer)
            self._store(answer, have if continued else 0)

    def _remember(self, answer: Response) -> None:
        tag = answer.headers.get("ETag", "")
        if tag and not tag.startswith("W/"):  # a weak tag may not be used with If-Range
            self._tag.write_text(tag, "utf-8")

    def _store(self, answer: Response, start: int) -> None:
        from tqdm import tqdm

        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            self._part.open("ab" if start else "wb") as out,
            tqdm(
                total=total, initial=start, unit="B", unit_scale=True,
                desc=self._part.stem, disable=not self._progress,
            ) as bar,
        ):  # fmt: skip
            for chunk in answer.iter_content(_CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
