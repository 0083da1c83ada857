"""The static files. Pages name them with a hash of their content, so a browser doesn't ask for one again."""

import os

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_KEPT_FOREVER = "public, max-age=31536000, immutable"


class VersionedFiles(StaticFiles):
    """A file that is asked for by its version is kept for a year; by its bare name, it is checked each time."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = _KEPT_FOREVER if scope["query_string"].startswith(b"v=") else "no-cache"
        return response
