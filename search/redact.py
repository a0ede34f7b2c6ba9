"""Passwords stand in tracking URIs; nothing that is printed, logged or stored shows them."""

from __future__ import annotations

import re

# A quote is the end of what is quoted where no word goes on behind it; else it belongs to the word.
END = r"""['"](?=[,;:)\]}>'"]|[.!?]?(?:\s|$))"""
SIGN = rf"""(?:[^\s'"]|(?!{END})['"])"""
# What no password goes beyond: the beginning of another URI.
HERE = r"""(?![,;|'"<(\[{][a-z][\w+.-]*://)"""
# Up to the last @ of a word: a password that holds an @, a / or a quote is no valid URI, and is not to be shown for it.
# A port behind which the quotes end is none.
USER = re.compile(rf"""(://(?:(?![:/@]){SIGN})*:)(?!\d+(?:/[^\s'"@]*)?{END})(?:{HERE}[^\s@])*@(?:(?:{HERE}{SIGN})*@)?""",
                  re.IGNORECASE)
QUERY = re.compile(rf"""([?&][^\s'"=&]*(?:password|passwd|pwd|token|secret|odbc_connect)=)(?:(?!&){SIGN})+""", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return ``text`` with the password of every URI in it put as ``***``."""
    return QUERY.sub(r"\1***", USER.sub(r"\1***@", text))
