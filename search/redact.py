"""Passwords stand in tracking URIs; nothing that is printed, logged or stored shows them."""

from __future__ import annotations

import re

# Up to the last @ of a word: a password that holds an @ or a / is no valid URI, and is not to be shown for it.
USER = re.compile(r"""(://[^\s'":/@]*:)[^\s'"]*@""")
QUERY = re.compile(r"""([?&][^\s'"=&]*(?:password|passwd|pwd|token|secret)=)[^\s'"&]+""", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return ``text`` with the password of every URI in it put as ``***``."""
    return QUERY.sub(r"\1***", USER.sub(r"\1***@", text))
