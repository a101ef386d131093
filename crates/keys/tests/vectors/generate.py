#!/usr/bin/env python3
"""Writes the test vectors of the API key format from its page alone (docs/key-format.md).

Shares no code with the crate, and needs nothing but Python's standard library, so the vectors show
that the page suffices and that two implementations agree. Writes accepted.json and refused.json
beside itself; with --check, only compares. What was committed never changes: add vectors, do not
alter them.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NOW = 1767225600000  # 2026-01-01T00:00:00Z
HOUR = 3600000


def sha256_hmac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def derive(secret, info=b"api key"):
    """HKDF-SHA-256 without a salt, 32 bytes: one block of output."""
    extracted = sha256_hmac(bytes(32), secret)
    return sha256_hmac(extracted, info, b"\x01")


def made_up(label, length):
    return hashlib.sha256(b"keyward vector: " + label.encode()).digest()[:length]


class AccessKey:
    def __init__(self, label, key_id=None):
        self.id = key_id or made_up(label + " id", 4)
        self.secret = made_up(label + " secret", 32)

    def as_json(self):
        return {"id": self.id.hex(), "secret": self.secret.hex()}


APP = made_up("app", 16)
OTHER_APP = made_up("another app", 16)
PRIMARY = AccessKey("primary")
SECONDARY = AccessKey("secondary")
OLD = AccessKey("regenerated")
IMPOSTOR = AccessKey("impostor", key_id=PRIMARY.id)
# 2026-01-01T00:00:00.000Z, version 7, variant 10.
KEY_ID = bytes.fromhex("019b76daa800" "7abc" "8123" "456789abcdef")
OTHER_KEY_ID = bytes.fromhex("019b76daa801" "7def" "9123" "0123456789ab")
CHILD = made_up("child", 16)
GRANDCHILD = made_up("grandchild", 16)


def caveat(kind, value):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def not_after(ms):
    return caveat(1, ms.to_bytes(8, "big", signed=True))


def scopes(*entries):
    entries = [e.encode() if isinstance(e, str) else e for e in entries]
    return caveat(2, b"".join(bytes([len(e)]) + e for e in entries))


def child(child_id):
    return caveat(3, child_id)


def tags(caveats, key=PRIMARY, app=APP, key_id=KEY_ID, derived=None, label=b"keyward api key 1"):
    chain = [sha256_hmac(derived or derive(key.secret), label, app, key.id, key_id)]
    for one in caveats:
        chain.append(sha256_hmac(chain[-1], one))
    return chain


def body_of(caveats, key=PRIMARY, key_id=KEY_ID, tag=None, **more):
    tag = tags(caveats, key=key, key_id=key_id, **more)[-1] if tag is None else tag
    return key.id + key_id + b"".join(caveats) + tag


def b64(body):
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def check_digits(value):
    out = ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        out = DIGITS[digit] + out
    return out


def with_check(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return text + check_digits(zlib.crc32(raw))


def write(body):
    return with_check("kwk1_" + b64(body))


# --- what must be accepted ---------------------------------------------------------------------


def covers(outer, inner):
    return inner == outer or inner.split("/", 1)[0] == outer


def intersect(lists):
    both = lists[0]
    for other in lists[1:]:
        inner = [s for s in both if any(covers(o, s) for o in other)]
        inner += [s for s in other if any(covers(o, s) for o in both)]
        both = inner
    return sorted(set(both), key=str.encode)


def accepted():
    out = []

    def add(name, steps, key=PRIMARY, key_id=KEY_ID, now=NOW, revoked=(), reaches=(), beyond=(),
            raw=None):
        """`steps` are what was issued and each narrowing of it; `raw` are caveats made by hand."""
        caveats, ends, lists, children = [], [], [], []
        for step in steps:
            if "notAfter" in step:
                caveats.append(not_after(step["notAfter"]))
                ends.append(step["notAfter"])
            if "scopes" in step:
                caveats.append(scopes(*sorted(step["scopes"], key=str.encode)))
                lists.append(sorted(step["scopes"], key=str.encode))
            if "childId" in step:
                caveats.append(child(bytes.fromhex(step["childId"])))
                children.append(step["childId"])
        if raw is not None:
            caveats = raw
        chain = tags(caveats, key=key, key_id=key_id)
        body = body_of(caveats, key=key, key_id=key_id)
        out.append({
            "name": name,
            "slot": "primary" if key is PRIMARY else "secondary",
            "keyId": key_id.hex(),
            "steps": steps,
            "byHand": raw is not None,
            "now": now,
            "revoked": list(revoked),
            "text": write(body),
            "grant": {
                "notAfter": min(ends) if ends else None,
                "scopes": intersect(lists) if lists else None,
                "childIds": children,
            },
            "reaches": list(reaches),
            "doesNotReach": list(beyond),
            "worked": {
                "derivedKey": derive(key.secret).hex(),
                "caveats": [one.hex() for one in caveats],
                "tags": [tag.hex() for tag in chain],
                "body": body.hex(),
            },
        })

    c, g = CHILD.hex(), GRANDCHILD.hex()
    end = NOW + 24 * HOUR
    add("never expires, whole app", [{}], reaches=["default", "helpdesk/CreateTicket"])
    add("valid at its instant", [{"notAfter": end}], now=end)
    add("valid a millisecond before its instant", [{"notAfter": end}], now=end - 1)
    add("valid at the first instant of 1970", [{"notAfter": 0}], now=0)
    add("derived from the secondary access key", [{"notAfter": end}], key=SECONDARY)
    add("one server", [{"scopes": ["helpdesk"]}],
        reaches=["helpdesk", "helpdesk/CreateTicket"],
        beyond=["default", "helpdesk2", "help", "default/CreateTicket"])
    add("one tool", [{"scopes": ["helpdesk/CreateTicket"]}],
        reaches=["helpdesk", "helpdesk/CreateTicket"],
        beyond=["helpdesk/createticket", "helpdesk/CreateTicket2", "default"])
    add("several scopes and a not-after",
        [{"notAfter": end, "scopes": ["default/Classify", "helpdesk", "orders/price", "a-b"]}],
        reaches=["default/Classify", "helpdesk/x", "orders/price", "a-b"],
        beyond=["default/x", "orders/Price", "a"])
    add("sorted by bytes: - before /", [{"scopes": ["a", "a-b", "a/x"]}],
        reaches=["a/y", "a-b/z"], beyond=["b"])
    add("a server beside one of its own tools", [{"scopes": ["helpdesk", "helpdesk/x"]}],
        reaches=["helpdesk/y"])
    add("a tool with a slash and beyond ASCII", [{"scopes": ["files/läs/日本"]}],
        reaches=["files/läs/日本"], beyond=["files/läs", "files/las/日本"])
    add("a server name of 80 characters", [{"scopes": ["s" * 80]}], reaches=["s" * 80])
    add("an entry of 255 bytes", [{"scopes": ["s/" + "t" * 253]}], reaches=["s/" + "t" * 253])
    add("32 scopes", [{"scopes": [f"s{n:02}" for n in range(32)]}],
        reaches=["s00", "s31/x"], beyond=["s32"])
    add("narrowed to nothing tighter", [{"notAfter": end}, {"childId": c}])
    add("narrowed to less time", [{"notAfter": end}, {"notAfter": NOW + HOUR, "childId": c}],
        now=NOW + HOUR)
    add("narrowed to more time, which changes nothing",
        [{"notAfter": end}, {"notAfter": end + HOUR, "childId": c}], now=end)
    add("a key that never expires, narrowed to an hour",
        [{}, {"notAfter": NOW + HOUR, "childId": c}], now=NOW + HOUR)
    add("narrowed to fewer servers",
        [{"scopes": ["default", "helpdesk"]}, {"scopes": ["helpdesk"], "childId": c}],
        reaches=["helpdesk/x"], beyond=["default"])
    add("narrowed twice, to one tool",
        [{"notAfter": end, "scopes": ["default", "helpdesk"]},
         {"scopes": ["helpdesk", "orders"], "childId": c},
         {"notAfter": NOW + HOUR, "scopes": ["helpdesk/CreateTicket", "default"], "childId": g}],
        reaches=["helpdesk/CreateTicket"], beyond=["default", "orders", "helpdesk/x"])
    add("narrowed to what it did not reach: reaches nothing",
        [{"scopes": ["helpdesk"]}, {"scopes": ["default"], "childId": c}],
        beyond=["helpdesk", "default"])
    add("a tool does not cover its server when narrowed",
        [{"scopes": ["helpdesk/a"]}, {"scopes": ["helpdesk"], "childId": c}],
        reaches=["helpdesk/a"], beyond=["helpdesk/b"])
    add("another key revoked", [{"notAfter": end}], revoked=[str_id(OTHER_KEY_ID)])
    add("a child of it revoked", [{"notAfter": end}], revoked=[str_id(KEY_ID) + "/" + c])
    add("another child revoked", [{"notAfter": end}, {"childId": c}],
        revoked=[str_id(KEY_ID) + "/" + g])
    add("the same child id revoked under another key", [{"notAfter": end}, {"childId": c}],
        revoked=[str_id(OTHER_KEY_ID) + "/" + c])
    add("a key id that is no UUID of version 7", [{}], key_id=bytes(range(16)))
    many = [{"notAfter": end}] + [
        {"childId": made_up(f"child {n}", 16).hex()} for n in range(15)]
    add("16 caveats", many)
    # 759 bytes of body make 1023 characters, the most that there are: 760 make 1025.
    long = ["s/" + "t" * 253, "t/" + "u" * 253, "u/" + "v" * (759 - 20 - 32 - 3 - 512 - 3)]
    add("the longest text", [{"scopes": long}], reaches=long)
    add("by hand: scopes before not-after", [{"scopes": ["helpdesk"], "notAfter": end}],
        raw=[scopes("helpdesk"), not_after(end)], reaches=["helpdesk"], beyond=["default"])
    add("by hand: narrowed without a child id", [{"notAfter": end}, {"notAfter": NOW + HOUR}],
        raw=[not_after(end), not_after(NOW + HOUR)], now=NOW + HOUR)
    add("by hand: the last instant of 64 bits", [{"notAfter": 2**63 - 1}],
        raw=[not_after(2**63 - 1)])
    assert len(next(v for v in out if v["name"] == "the longest text")["text"]) == 1023
    return out


def str_id(raw):
    h = raw.hex()
    return "-".join([h[:8], h[8:12], h[12:16], h[16:20], h[20:]])


# --- what must be refused ----------------------------------------------------------------------


def refused():
    out = []

    def add(name, text, refusal, why=None, now=NOW, revoked=(), app=APP):
        raw = text if isinstance(text, bytes) else text.encode()
        entry = {"name": name, "now": now, "revoked": list(revoked), "appId": app.hex(),
                 "refusal": refusal}
        if why is not None:
            entry["expiredAt" if refusal == "expired" else "why"] = why
        try:
            entry["text"] = raw.decode()
        except UnicodeDecodeError:
            entry["textHex"] = raw.hex()
        out.append(entry)

    def malformed(name, text, why, **more):
        add(name, text, "malformed", why, **more)

    def forged(name, text, **more):
        add(name, text, "not_issued_here", **more)

    end = NOW + 24 * HOUR
    one = [not_after(end), scopes("helpdesk"), child(CHILD)]
    good_body = body_of(one)
    good = write(good_body)
    plain = body_of([])

    def altered(at, bits=1):
        body = bytearray(good_body)
        body[at] ^= bits
        return write(bytes(body))

    # The text: length, prefix, checksum.
    malformed("nothing", "", "prefix")
    malformed("a word", "secret", "prefix")
    malformed("the prefix alone", "kwk1_", "checksum")
    malformed("a prefix and a checksum without a body", with_check("kwk1_"), "body_length")
    malformed("no prefix", good[5:], "prefix")
    malformed("another version", with_check("kwk2_" + b64(good_body)), "prefix")
    malformed("a prefix in upper case", with_check("KWK1_" + b64(good_body)), "prefix")
    malformed("an operator token's prefix", with_check("kwo1_" + b64(good_body)), "prefix")
    malformed("a master key's prefix", with_check("kwm1_" + b64(good_body)), "prefix")
    malformed("a space in front", " " + good, "prefix")
    malformed("the scheme in front", "Bearer " + good, "prefix")
    malformed("a line feed behind", good + "\n", "checksum")
    malformed("a space behind", good + " ", "checksum")
    malformed("a NUL behind", good + "\0", "checksum")
    malformed("a character more", good + "0", "checksum")
    malformed("a character less", good[:-1], "checksum")
    malformed("cut in the middle", good[:len(good) // 2], "checksum")
    malformed("without its checksum", good[:-6], "checksum")
    malformed("twice", good + good, "checksum")
    flip = lambda at: good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1:]
    malformed("a character altered in the access key id", flip(6), "checksum")
    malformed("a character altered in the key id", flip(20), "checksum")
    malformed("a character altered in the caveats", flip(50), "checksum")
    malformed("a character altered in the tag", flip(len(good) - 20), "checksum")
    malformed("a digit of the checksum altered", flip(len(good) - 1), "checksum")
    malformed("two characters swapped", good[:30] + good[31] + good[30] + good[32:], "checksum")
    crc = zlib.crc32(good[:-6].encode())
    malformed("checksum least significant first", good[:-6] + check_digits(crc)[::-1], "checksum")
    malformed("checksum with lower case before upper case",
              good[:-6] + check_digits(crc).swapcase(), "checksum")
    malformed("checksum of the body without the prefix",
              good[:-6] + check_digits(zlib.crc32(good[5:-6].encode())), "checksum")
    malformed("checksum in hexadecimal", good[:-6] + f"{crc:08x}", "checksum")
    malformed("not UTF-8", b"kwk1_\xff\xfe" + good[7:].encode(), "checksum")
    malformed("not UTF-8, with its checksum",
              (lambda raw: raw + check_digits(zlib.crc32(raw)).encode())(
                  b"kwk1_\xff\xfe" + good[7:-6].encode()), "base64")

    # The encoding. 84 bytes less the child id's make a length with bits that do not count.
    assert len(plain) % 3 == 1
    b = b64(plain)
    spare = DIGITS + "-_"
    order = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert set(spare) == set(order)
    malformed("bits that do not count are set",
              with_check("kwk1_" + b[:-1] + order[order.index(b[-1]) + 1]), "base64")
    malformed("padding", with_check("kwk1_" + base64.urlsafe_b64encode(plain).decode()), "base64")
    marked = next(
        k for k in (body_of([child(made_up(f"search {n}", 16))]) for n in range(999))
        if "-" in b64(k) and "_" in b64(k))
    malformed("the other alphabet: + and /",
              with_check("kwk1_" + base64.b64encode(marked).decode().rstrip("=")), "base64")
    malformed("a line feed inside the body",
              with_check("kwk1_" + b[:40] + "\n" + b[40:]), "base64")
    malformed("a dot inside the body", with_check("kwk1_" + b[:40] + "." + b[41:]), "base64")
    malformed("a body of one character more than fours",
              with_check("kwk1_" + b64(plain[:51]) + "A"), "base64")

    # The layout, each with the tag that would fit it.
    malformed("a body of 51 bytes", write(plain[:51]), "body_length")
    malformed("a body without a key id", write(plain[:4] + plain[20:]), "body_length")
    malformed("a byte after the tag", write(plain + b"\0"), "caveat_length")
    malformed("the last byte of the tag cut off", write(good_body[:-1]), "caveat_length")
    malformed("the tag cut off", write(good_body[:-32]), "caveat_length")
    malformed("a caveat of two bytes", write(body_of([b"\x01\x00"])), "caveat_length")
    malformed("a caveat longer than the body", write(body_of([b"\x03\x00\x11" + CHILD])),
              "caveat_length")
    malformed("lengths in little endian",
              write(body_of([b"\x03\x10\x00" + CHILD])), "caveat_length")
    malformed("kind 0", write(body_of([caveat(0, b"")])), "caveat_kind")
    malformed("kind 4", write(body_of([caveat(4, CHILD)])), "caveat_kind")
    malformed("kind 255", write(body_of([not_after(end), caveat(255, b"x")])), "caveat_kind")
    malformed("a not-after of 7 bytes", write(body_of([caveat(1, end.to_bytes(7, "big"))])),
              "caveat_length")
    malformed("a not-after of 9 bytes", write(body_of([caveat(1, end.to_bytes(9, "big"))])),
              "caveat_length")
    malformed("an empty not-after", write(body_of([caveat(1, b"")])), "caveat_length")
    malformed("a child id of 15 bytes", write(body_of([child(CHILD[:15])])), "caveat_length")
    malformed("a child id of 17 bytes", write(body_of([child(CHILD + b"x")])), "caveat_length")
    malformed("17 caveats",
              write(body_of([child(made_up(f"child {n}", 16)) for n in range(17)])),
              "too_many_caveats")
    malformed("a caveat of the first kind as the 17th",
              write(body_of([not_after(end + n) for n in range(17)])), "too_many_caveats")
    malformed("an empty list of scopes", write(body_of([scopes()])), "empty_scope")
    malformed("an empty scope", write(body_of([scopes("")])), "empty_scope")
    malformed("an empty scope after a good one", write(body_of([scopes("a", "")])), "empty_scope")
    malformed("a scope twice", write(body_of([scopes("a", "a")])), "scope_order")
    malformed("scopes unsorted", write(body_of([scopes("b", "a")])), "scope_order")
    malformed("scopes sorted by parts and not by bytes",
              write(body_of([scopes("a", "a/x", "a-b")])), "scope_order")
    malformed("a server in upper case", write(body_of([scopes("Helpdesk")])), "scope")
    malformed("a server beyond ASCII", write(body_of([scopes("häuser")])), "scope")
    malformed("a server with a dot", write(body_of([scopes("a.b")])), "scope")
    malformed("a server with a space", write(body_of([scopes("a b")])), "scope")
    malformed("a server of 81 characters", write(body_of([scopes("s" * 81)])), "scope")
    malformed("no server before the slash", write(body_of([scopes("/x")])), "scope")
    malformed("no tool after the slash", write(body_of([scopes("a/")])), "scope")
    malformed("a tool with a line feed", write(body_of([scopes("a/x\ny")])), "scope")
    malformed("a tool with DEL", write(body_of([scopes("a/x\x7f")])), "scope")
    malformed("a tool that is not UTF-8", write(body_of([scopes(b"a/\xff")])), "scope")
    malformed("a tool in an overlong encoding", write(body_of([scopes(b"a/\xc1\x81")])), "scope")
    malformed("a tool with a surrogate", write(body_of([scopes(b"a/\xed\xa0\x80")])), "scope")
    malformed("a scope longer than its list", write(body_of([caveat(2, b"\x05abc")])),
              "caveat_length")
    malformed("33 scopes",
              write(body_of([scopes(*[f"s{n:02}" for n in range(33)])])), "too_many_scopes")
    fill = scopes("s/" + "t" * 253, "t/" + "u" * 253, "u/" + "v" * (760 - 20 - 32 - 3 - 512 - 3))
    too_long = write(body_of([fill]))
    assert len(too_long) == 1025
    malformed("1025 characters", too_long, "too_long")
    malformed("a megabyte", "kwk1_" + "A" * 2048, "too_long")

    # The tag: all of these have the form of a key and its checksum.
    add("the access key id altered", altered(0), "access_key_regenerated")
    add("the last byte of the access key id altered", altered(3, 0x80), "access_key_regenerated")
    forged("the key id altered", altered(4))
    forged("the last byte of the key id altered", altered(19))
    forged("a later not-after", altered(20 + 3 + 4))
    forged("the last bit of the not-after altered", altered(20 + 3 + 7))
    forged("a scope altered", altered(20 + 11 + 3 + 1, 0x03))
    forged("the child id altered", altered(len(good_body) - 32 - 1))
    forged("the first byte of the tag altered", altered(len(good_body) - 32))
    forged("a byte inside the tag altered", altered(len(good_body) - 16, 0x40))
    forged("the last byte of the tag altered", altered(len(good_body) - 1))
    forged("a tag of zeros", write(body_of(one, tag=bytes(32))))
    forged("the tag before the last caveat", write(body_of(one, tag=tags(one)[2])))
    forged("the first tag", write(body_of(one, tag=tags(one)[0])))
    final = tags(one)[-1]
    forged("the last caveat removed", write(body_of(one[:2], tag=final)))
    forged("the first caveat removed", write(body_of(one[1:], tag=final)))
    forged("the scopes removed", write(body_of([one[0], one[2]], tag=final)))
    forged("all caveats removed", write(body_of([], tag=final)))
    forged("two caveats swapped", write(body_of([one[1], one[0], one[2]], tag=final)))
    forged("the child id moved to the front", write(body_of([one[2], one[0], one[1]], tag=final)))
    forged("a caveat repeated", write(body_of([one[0]] + one, tag=final)))
    forged("a caveat added without a new tag",
           write(body_of(one + [not_after(end)], tag=final)))
    forged("a caveat put in front of the others",
           write(body_of([not_after(end + HOUR)] + one, tag=final)))
    forged("another key's tag", write(body_of(one, tag=tags(one, key_id=OTHER_KEY_ID)[-1])))
    forged("issued for another app", write(body_of(one, app=OTHER_APP)))
    forged("presented to another app with the same access key", good, app=OTHER_APP)
    forged("another access key under the same id", write(body_of(one, key=IMPOSTOR)))
    forged("the secondary access key's tag under the primary's id",
           write(body_of(one, tag=tags(one, key=SECONDARY)[-1])))
    forged("tagged without HKDF", write(body_of(one, derived=PRIMARY.secret)))
    forged("tagged with another HKDF info",
           write(body_of(one, derived=derive(PRIMARY.secret, b"api-key"))))
    forged("tagged with the extracted key of HKDF",
           write(body_of(one, derived=sha256_hmac(bytes(32), PRIMARY.secret))))
    forged("tagged under another label", write(body_of(one, label=b"keyward api key 2")))
    forged("tagged without the app id", write(body_of(one, app=b"")))
    forged("all caveats under one HMAC",
           write(body_of(one, tag=sha256_hmac(tags([])[0], *one))))
    forged("every caveat under the derived key",
           write(body_of(one, tag=sha256_hmac(derive(PRIMARY.secret), one[-1]))))
    chain = tags([])[0]
    for each in one:
        chain = sha256_hmac(chain, each[3:])
    forged("caveats chained without kind and length", write(body_of(one, tag=chain)))

    # Trust: good tags.
    add("derived from a regenerated access key", write(body_of(one, key=OLD)),
        "access_key_regenerated")
    add("expired by a millisecond", write(body_of([not_after(end)])), "expired", end, now=end + 1)
    add("expired by a narrowing",
        write(body_of([not_after(end), not_after(NOW + HOUR), child(CHILD)])), "expired",
        NOW + HOUR, now=NOW + HOUR + 1)
    add("a narrowing does not lengthen",
        write(body_of([not_after(NOW), not_after(end), child(CHILD)])), "expired", NOW,
        now=NOW + 1)
    add("a not-after before 1970", write(body_of([not_after(-1)])), "expired", -1, now=0)
    add("the first instant of 64 bits", write(body_of([not_after(-2**63)])), "expired", -2**63)
    this, kid = str_id(KEY_ID), f"{str_id(KEY_ID)}/{CHILD.hex()}"
    add("revoked", write(body_of([not_after(end)])), "revoked", revoked=[this])
    add("its parent revoked", good, "revoked", revoked=[this])
    add("a narrowed key revoked", good, "revoked", revoked=[kid])
    add("the key that it was narrowed from revoked",
        write(body_of(one + [child(GRANDCHILD)])), "revoked", revoked=[kid])
    add("the grandchild revoked", write(body_of(one + [child(GRANDCHILD)])), "revoked",
        revoked=[f"{this}/{GRANDCHILD.hex()}"])

    # Which comes first.
    malformed("malformed before expired",
              write(body_of([not_after(-1), caveat(9, b"")])), "caveat_kind")
    add("expired before regenerated", write(body_of([not_after(NOW - 1)], key=OLD)), "expired",
        NOW - 1)
    add("expired before forged", write(body_of([not_after(NOW - 1)], tag=bytes(32))), "expired",
        NOW - 1)
    add("regenerated before revoked", write(body_of([], key=OLD)), "access_key_regenerated",
        revoked=[this])
    forged("forged before revoked", write(body_of([], tag=bytes(32))), revoked=[this])
    return out


def main():
    ring = {"appId": APP.hex(), "primary": PRIMARY.as_json(), "secondary": SECONDARY.as_json()}
    for name, vectors in (("accepted", accepted()), ("refused", refused())):
        names = [v["name"] for v in vectors]
        assert len(set(names)) == len(names), "a name stands twice"
        text = json.dumps({"ring": ring, "vectors": vectors}, indent=1, ensure_ascii=False) + "\n"
        path = HERE / f"{name}.json"
        if "--check" in sys.argv:
            if path.read_text(encoding="utf-8") != text:
                sys.exit(f"{path.name} is not what this script writes")
        else:
            path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(vectors)} vectors")


main()
