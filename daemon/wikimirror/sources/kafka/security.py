"""How a connection to a broker shows who we are and checks who the broker is: options for aiokafka's clients."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from pydantic import SecretStr

from wikimirror.errors import ConfigurationError
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka.tokens import ClientCredentials, TokenFile

_ENCRYPTED: Final = {"ssl", "sasl_ssl"}
_MODE: Final = "Correct its path or its mode."


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments of aiokafka's consumers, producers and admin clients that concern whom to ask and as whom.

    Secrets and certificates are read from their files at each call, so that a new client has them as they now are.
    Raises ConfigurationError where a file cannot be used; its text holds nothing of what is in the file.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "security_protocol": settings.security_protocol.upper(),
    }
    if settings.security_protocol in _ENCRYPTED:
        options["ssl_context"] = _tls(settings)
    if settings.sasl_mechanism == "OAUTHBEARER":
        options |= {"sasl_mechanism": settings.sasl_mechanism, "sasl_oauth_token_provider": _tokens(settings)}
    elif settings.sasl_mechanism is not None:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": _secret(settings.password, settings.password_file),
        }
    return options


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    """Authorities, and our certificate. The certificate's host name is checked, always."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ValueError) as error:
        what = f"no authority can be read from ca_file {settings.ca_file}: {_reason(error)}"
        remedy = "It must hold certificates in PEM, each from -----BEGIN CERTIFICATE----- on."
        raise ConfigurationError(what, remedy=remedy) from None
    if settings.certificate_file is not None and settings.key_file is not None:
        try:
            # Without a password that is needed OpenSSL would ask for it at the terminal: an empty one is given.
            context.load_cert_chain(settings.certificate_file, settings.key_file, _plain(settings.key_password) or "")
        except (OSError, ValueError) as error:
            what = (
                f"certificate_file {settings.certificate_file} and key_file {settings.key_file} cannot be used:"
                f" {_reason(error)}"
            )
            remedy = "Both must be PEM, the key that of the certificate; key_password opens a key that is encrypted."
            raise ConfigurationError(what, remedy=remedy) from None
    return context


def _tokens(settings: KafkaSettings) -> AbstractTokenProvider:
    if settings.token_file is not None:
        return TokenFile(settings.token_file)
    return ClientCredentials(
        str(settings.token_url),
        str(settings.token_client_id),
        _secret(settings.token_client_secret, settings.token_client_secret_file),
        scope=settings.token_scope,
        # Whoever waits for a token holds up every other connection of its client (tokens.py).
        seconds=settings.request_timeout.total_seconds(),
    )


def _secret(said: SecretStr | None, path: Path | None) -> str:
    """The secret itself, or the first line of its file."""
    if path is None:
        return _plain(said) or ""
    try:
        found = path.read_text(encoding="utf-8").partition("\n")[0].strip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file {path} cannot be read: {_reason(error)}", remedy=_MODE) from None
    if not found:
        raise ConfigurationError(f"the first line of the file {path} is empty", remedy="Write the secret there.")
    return found


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _reason(error: Exception) -> str:
    """In words of ours or of the system; a library's might quote what was read."""
    match error:
        case ssl.SSLError():
            return (error.reason or "it is not PEM, or the key cannot be opened").lower().replace("_", " ")
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return "it cannot be understood"
