"""The description of an extract in its folder. It is written last: without it, the extract is not complete."""

from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

_NAME = "extract.json"


class Contents(BaseModel):
    """A table's rows, and its columns with their types in PostgreSQL."""

    rows: int
    columns: dict[str, str]


class Manifest(BaseModel):
    """`as_of` (UTC): everything committed before it is there; in an unfinished folder, in the tables listed.

    `extract_id`: by which the database knows what has changed since. `form`: a hash of how values are written.
    """

    extract_id: str
    form: str
    buckets: int
    as_of: datetime
    tables: dict[str, Contents] = {}

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None if the file is missing or can't be read."""
        try:
            return cls.model_validate_json((folder / _NAME).read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{_NAME}.part"
        unfinished.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        unfinished.replace(folder / _NAME)
