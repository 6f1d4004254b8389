"""Whether a site reaches its coordinator, and if not, why, in plain words."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path


def why_not_reached(host: str, port: int, authority: Path, seconds: float = 5.0) -> str:
    """Say why the coordinator's proxy cannot be reached; empty if it can.

    Args:
        host: Its host name or address.
        port: Its port.
        authority: The certificate of the federation's authority.
        seconds: How long to wait for an answer.
    """
    where = f"{host}:{port}"
    context = ssl.create_default_context(cafile=str(authority))
    try:
        with (
            socket.create_connection((host, port), seconds) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return _of_certificate(where, host, error, authority)
    except ssl.SSLError as error:
        reason = error.reason or error
        return (
            f"{where} answers, but not by TLS ({reason}); this is not the coordinator's proxy, or "
            "something stands between"
        )
    except socket.gaierror:
        return f"nobody knows the name {host}; look at [connection] address, or at the DNS"
    except TimeoutError:
        return f"{where} does not answer; a firewall may be between, or the coordinator is down"
    except ConnectionRefusedError:
        return f"the coordinator's proxy is not running: nobody listens at {where}"
    except OSError as error:
        return f"cannot reach {where}: {error.strerror or error}"


def _of_certificate(
    where: str, host: str, error: ssl.SSLCertVerificationError, authority: Path
) -> str:
    text = error.verify_message or str(error)
    if "expired" in text:
        return (
            f"the certificate of {where} has expired; the coordinator renews it by 'coplay deploy "
            "keys FEDERATION --renew' and starts again"
        )
    if "not yet valid" in text:
        return f"the certificate of {where} is not valid yet; look at the clocks of both machines"
    if "mismatch" in text or "not valid for" in text:
        return (
            f"the certificate of {where} is not for {host}; the coordinator makes one for this "
            "name ([deploy] address), or this site calls it by another ([connection] address)"
        )
    return (
        f"{where} shows a certificate that {authority} has not signed ({text}): this is not the "
        "coordinator, or its authority is a new one, whose ca.crt this site needs"
    )
