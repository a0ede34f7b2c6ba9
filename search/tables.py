"""Whether a database's tables are those of the installed MLflow, which is not imported for it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

REVISION = re.compile(r"""^revision(?:: str)? = ["'](\w+)["']""", re.MULTILINE)


def strange(engine: Engine) -> str | None:
    """Return the revision of the tables behind ``engine``, where the installed MLflow knows none of that name.

    They are then those of a newer MLflow, or of another program that keeps its revisions by Alembic, as Optuna does. None
    where there are no tables yet, and where they are older ones, which MLflow takes or says why it does not.
    """
    from sqlalchemy import inspect, text

    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = set(connection.scalars(text("select version_num from alembic_version")))
    finally:
        engine.dispose()
    known = revisions()
    return next(iter(found - known), None) if known else None


def revisions() -> set[str]:
    """Return the revisions that the installed MLflow can bring tables to; none where it does not keep them in files."""
    place = Path(find_spec("mlflow").origin).parent / "store" / "db_migrations" / "versions"
    return {found for path in place.glob("*.py") for found in REVISION.findall(path.read_text())}
