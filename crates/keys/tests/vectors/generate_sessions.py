#!/usr/bin/env python3
"""Writes the test vectors of sealed session ids from their description alone (keys::SessionSeals).

Shares no code with the crate; AES-GCM is that of the Python package `cryptography`. Writes
sessions.json beside itself; with --check, only compares. What was committed never changes: a
session that was opened before an update goes on after it.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).resolve().parent
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def made_up(label, length):
    return hashlib.sha256(b"keyward session vector: " + label.encode()).digest()[:length]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def master_key_text(secret):
    text = "kwm1_" + base64url(secret)
    crc = zlib.crc32(text.encode())
    return text + "".join(DIGITS[crc // 62**power % 62] for power in reversed(range(6)))


def derive(secret, info):
    """HKDF-SHA-256 without a salt, 32 bytes: one block of output."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def vector(session_id, server, owner):
    secret = made_up("master key", 32)
    app = made_up("app", 16)
    nonce = made_up(f"nonce of {session_id} on {server}", 12)
    if owner is None:
        identity = b"\x00"
    else:
        digest = hashlib.sha256(bytes.fromhex(owner["caveats"])).digest()
        identity = b"\x01" + bytes.fromhex(owner["accessKeyId"] + owner["keyId"]) + digest
    name = server.lower().encode()
    data = b"keyward session id 1" + app + len(name).to_bytes(4, "big") + name + identity
    cipher = AESGCM(derive(secret, b"seal session ids"))
    return {
        "masterKey": master_key_text(secret),
        "app": app.hex(),
        "server": server,
        "owner": owner,
        "nonce": nonce.hex(),
        "sessionId": session_id,
        "sealed": base64url(nonce + cipher.encrypt(nonce, session_id.encode(), data)),
    }


KEY = {"accessKeyId": "01020304", "keyId": "019b76daa8007abc8123456789abcdef"}
# Not after 2026-01-01T00:00:00Z; the scope "docs/search".
TERMS = "01" "0008" "0000019b76daa800" + "02" "000c" "0b" + b"docs/search".hex()
VECTORS = [
    vector("1868a90c-7e1d-4c5b-9d1f-0c8e7d1f0a11", "helpdesk", None),
    vector("1868a90c-7e1d-4c5b-9d1f-0c8e7d1f0a11", "Helpdesk", dict(KEY, caveats="")),
    vector("!" + "~" * 1023, "docs", dict(KEY, caveats=TERMS)),
    vector("x", "s" * 80, dict(KEY, caveats="")),
]

if __name__ == "__main__":
    text = json.dumps(VECTORS, indent=1) + "\n"
    path = HERE / "sessions.json"
    if "--check" in sys.argv[1:]:
        if path.read_text() != text:
            sys.exit(f"{path.name} is not what this program writes")
    else:
        path.write_text(text)
