"""Names as parts of e-mail addresses. Knows nothing else."""

from __future__ import annotations

import unicodedata

_PLAIN = str.maketrans({"ł": "l", "Ł": "l", "ø": "o", "ß": "ss", "'": "", "-": "", " ": ""})


def address_part(name: str) -> str:
    """Return a name as it stands in e-mail addresses: ASCII, lower case."""
    plain = unicodedata.normalize("NFKD", name.translate(_PLAIN)).encode("ascii", "ignore").decode().lower()
    return plain or "contact"
