"""Takes secrets and control characters out of text that jobs wrote, before anyone sees it."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

# What a job prints may move the cursor and set colours.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

# AWS's key ids (IAM User Guide, "Understanding unique ID prefixes") and well-known token prefixes.
_KEY_ID = re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}")
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|xox[abprs]-|eyJ[\w-]+\.eyJ)[\w.=-]{8,}"
)
_QUERY = re.compile(
    r"\?[^\s\"'<>)]*(?:X-Amz-|Signature=|AWSAccessKeyId=|sig=|token=)[^\s\"'<>)]*", re.IGNORECASE
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]{1,200}(?=@)")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
# Not the tokens of language models: their counts, ids and special ones are no secret.
_WORD = (
    r"(?<!eos_)(?<!bos_)(?<!pad_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)token(?!s|iz|_id|_type|_len)"
)
_NAMED = re.compile(
    rf"(?P<name>\b\w{{0,40}}(?:secret|passw(?:or)?d|passwd|{_WORD}|api_?key|access_?key"
    r"|credential)\w{0,40}[\"']?\s{0,4}[=:]\s{0,4}[\"']?)(?P<value>[^\s\"',;&}]{4,})",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Text without AWS keys, tokens, passwords, signed queries, escapes and control characters.

    Example:
        >>> redacted("GET https://b.s3/k?X-Amz-Signature=abc123 by AKIAIOSFODNN7EXAMPLE")
        'GET https://b.s3/k?[hidden] by [hidden]'
        >>> redacted("password=hunter22")
        'password=[hidden]'
    """
    plain = _CONTROLS.sub("", _ESCAPES.sub("", text))
    plain = _QUERY.sub(f"?{HIDDEN}", plain)
    plain = _USER_INFO.sub(HIDDEN, plain)
    plain = _KEY_ID.sub(HIDDEN, plain)
    plain = _TOKEN.sub(HIDDEN, plain)
    plain = _BEARER.sub(rf"\1 {HIDDEN}", plain)
    return _NAMED.sub(rf"\g<name>{HIDDEN}", plain)


def one_line(text: str, limit: int) -> str:
    """Redacted text in one line of at most so many characters.

    Example:
        >>> one_line("a\\n  b", 80), one_line("abcdef", 4)
        ('a b', 'abc…')
    """
    line = " ".join(redacted(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
