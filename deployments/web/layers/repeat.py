"""Clients that send a request again by themselves when it is not answered, and that say so."""

import hashlib

from starlette.datastructures import Headers

from deployments.contract import Repeat

IDEMPOTENCY_KEY = "idempotency-key"  # chosen by the client: whatever has the same is one request
RETRY_COUNT = "x-stainless-retry-count"  # sent by OpenAI's clients, from 0 on; they send no Idempotency-Key


def repeat_of(headers: Headers) -> Repeat | None:
    """None of a client that does not say that it would send this again."""
    named = headers.get(IDEMPOTENCY_KEY)
    if named is None and RETRY_COUNT not in headers:
        return None
    digest = hashlib.blake2b(headers.get("authorization", "").encode(), digest_size=16)
    digest.update(b"" if named is None else b"\0" + named.encode())
    return Repeat(digest.digest(), named is not None)
