"""Files together: what is said of an export, and all of it as one zip."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date

from analysis.export.card import Shown, model_card
from analysis.export.shipment import Shipment
from analysis.pruning.plan_json import to_json

CARD, PLAN = "MODEL_CARD.md", "plan.json"
_STAMP = (1980, 1, 1, 0, 0, 0)  # always the same, not now: equal files give equal zips, and so equal digests
_UNIX = 3  # what made the archive, so that permissions are read
_MODE = stat.S_IFREG | 0o644  # without it files would be unpacked as 0600


def notes(shipment: Shipment, exports: Sequence[Shown], on: date) -> dict[str, bytes]:
    """The plan, and the model card as of a day."""
    return {
        PLAN: to_json(shipment.plan).encode(),
        CARD: model_card(shipment, exports, on).encode(),
    }


def bundle(files: Mapping[str, bytes]) -> bytes:
    """The files as one zip; equal for equal files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = _UNIX, _MODE << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
