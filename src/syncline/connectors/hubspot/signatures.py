"""Whether a delivery is HubSpot's: its three kinds of signature. Knows nothing of what a body says.

v3 signs method, address, body and time. v1 signs the body only, so that a delivery that was overheard can
be played back: it is taken only where HubSpot sends no v3. v2, of workflows, signs method, address and body.
HubSpot's page "Validating requests", read 2026-04.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from urllib.parse import unquote

from syncline.connectors.webhooks import Delivery
from syncline.errors import Forged

#: Milliseconds a v3 delivery may be old, as HubSpot asks.
OLDEST_MS = 300_000
#: Milliseconds a v3 delivery may be ahead of us: clocks differ, and ours may be the one that is wrong.
NEWEST_MS = 60_000

_SIGNATURE = "x-hubspot-signature"
_SIGNATURE_V3 = "x-hubspot-signature-v3"
_TIME = "x-hubspot-request-timestamp"
_VERSION = "x-hubspot-signature-version"
#: int() reads more than digits (spaces, underscores, other scripts), and what is signed has no separators:
#: a time of any length would let its digits pass for the body's and back.
_TIME_MS = re.compile(r"[1-9][0-9]{12}")
#: What HubSpot decodes in an address before it signs with v3, and nothing else: : / ? @ ! ' ( ) * , ; $
_DECODED = re.compile(r"%(?:3A|2F|3F|40|21|27|28|29|2A|2C|3B|24)", re.IGNORECASE)


def verify(delivery: Delivery, secret: str) -> None:
    """Check that HubSpot sent this, with the app's client secret. Raises `Forged` naming the failed check.

    A delivery with an unused v3 timestamp is one whose v3 signature was taken away, and refused.
    v1 and v2 are plain hashes behind a secret, to which bytes can be added without knowing it. These begin
    with 0x80, which no JSON ends in: `parse` refuses such a body.
    """
    if not secret:
        raise Forged("There is no client secret to check the delivery with. Set the app's.")
    headers = delivery.headers
    if _SIGNATURE_V3 in headers:
        _check_v3(delivery, secret.encode())
        return
    if _TIME in headers:
        raise Forged("The delivery has the time of a v3 signature, but not the signature.")
    if _SIGNATURE not in headers:
        raise Forged("The delivery has no signature.")
    version = headers.get(_VERSION, "v1")
    if version == "v1":
        signed = secret.encode() + delivery.body
    elif version == "v2":
        signed = secret.encode() + _method_and(delivery.url, delivery) + delivery.body
    else:
        raise Forged("The delivery's version of the signature is none that can be checked.")
    _compare(headers[_SIGNATURE], hashlib.sha256(signed).hexdigest(), version)


def _check_v3(delivery: Delivery, secret: bytes) -> None:
    sent = delivery.headers.get(_TIME, "")
    if not _TIME_MS.fullmatch(sent):
        raise Forged("The delivery's v3 signature has no time, or none that can be read.")
    age_ms = delivery.received_ms - int(sent)
    if age_ms > OLDEST_MS:
        raise Forged("The delivery is older than five minutes.")
    if age_ms < -NEWEST_MS:
        raise Forged("The delivery's time lies ahead. Check this machine's clock.")
    address = _DECODED.sub(lambda found: unquote(found[0]), delivery.url)
    signed = _method_and(address, delivery) + delivery.body + sent.encode()
    expected = b64encode(hmac.digest(secret, signed, "sha256")).decode()
    _compare(delivery.headers[_SIGNATURE_V3], expected, "v3")


def _method_and(address: str, delivery: Delivery) -> bytes:
    # What cannot be encoded was not signed either.
    return (delivery.method + address).encode(errors="replace")


def _compare(given: str, expected: str, version: str) -> None:
    if not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
        raise Forged(
            f"The delivery's {version} signature does not match. Where it should, check the client secret,"
            " and that the public address is the one HubSpot calls."
        )
