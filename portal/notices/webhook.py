"""A signed POST to an address that a customer gave: never into our own network."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

SECONDS = 5.0
Resolve = Callable[[str, int], list[str]]


class WebhookError(Exception):
    """It was not taken; the text is one of a few of our own, never what the other side wrote."""


def _resolve(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check_url(url: str) -> str:
    """The host of an address that may be called; ValueError with a sentence for the screen."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if (
        parts.scheme not in ("https", "http")
        or not parts.hostname
        or parts.username
        or parts.password
        or port == 0
    ):
        raise ValueError(
            "Webhook URLは「https://」で始まるURLを入力してください。ユーザー名とパスワードは含められません。"
        )
    return parts.hostname


def addresses(host: str, port: int, *, private: bool, resolve: Resolve = _resolve) -> list[str]:
    """Where a host may be called. Every one of its addresses must be public, unless ``private``. WebhookError."""
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError):
        raise WebhookError("宛先のホスト名を解決できません") from None
    for text in found:
        address = ipaddress.ip_address(text.split("%", 1)[0])
        inner = getattr(address, "ipv4_mapped", None) or address
        if not private and (not inner.is_global or inner.is_multicast):
            raise WebhookError("宛先が社内ネットワークのアドレスのため、送信しません")
    if not found:
        raise WebhookError("宛先のホスト名を解決できません")
    return found


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """``v1=`` HMAC-SHA256 of 「timestamp.body」, in hex: the receiver makes it anew and compares."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return "v1=" + signed.hexdigest()


def send(
    url: str, secret: str, message_id: str, payload: dict[str, Any], timestamp: int, *, private: bool = False,
    resolve: Resolve = _resolve, transport: httpx.BaseTransport | None = None,
) -> int:  # fmt: skip
    """POST the payload as JSON; the status. Raises WebhookError where it was not taken (anything but 2xx).

    The address is looked up once and that very address is called, so that a name cannot point elsewhere in between;
    no redirect is followed, no answer is read. ``timestamp``: seconds since 1970.
    """
    try:
        host = check_url(url)
    except ValueError:
        raise WebhookError("Webhook URLが正しくありません") from None
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = addresses(host, port, private=private, resolve=resolve)[0]
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    target = httpx.URL(url).copy_with(host=address)
    headers = {
        "Host": parts.netloc, "Content-Type": "application/json; charset=utf-8", "User-Agent": "reservation-link-portal",
        "X-Portal-Delivery": message_id, "X-Portal-Timestamp": str(timestamp),
        "X-Portal-Signature": signature(secret, timestamp, body),
    }  # fmt: skip
    try:
        with (
            httpx.Client(transport=transport, timeout=SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", target, content=body, headers=headers,
                          extensions={"sni_hostname": host}) as answer,
        ):  # fmt: skip
            status = answer.status_code
    except httpx.TimeoutException:
        raise WebhookError("宛先から応答がありません") from None
    except (httpx.HTTPError, OSError, ValueError):
        raise WebhookError("宛先に接続できません") from None
    if not 200 <= status < 300:
        raise WebhookError(f"宛先がHTTP {status}を返しました")
    return status
