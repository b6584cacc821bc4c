"""The settings, read once from SYNCLINE_* variables and passed on as values.

Knows names, defaults and limits; opens no database, creates no file and is needed by the doors only.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from syncline.errors import SettingInvalid

PREFIX = "SYNCLINE_"
_FILE = "_FILE"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]
#: `auto` recognises a transaction-mode pooler by its URL: see `store.urls`.
Pooler = Literal["auto", "none", "transaction"]


def default_home() -> Path:
    """Return where Syncline keeps its own files when SYNCLINE_HOME does not say."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/syncline")
    data_home = os.environ.get("XDG_DATA_HOME", "")
    if data_home.startswith("/"):  # the XDG specification has relative values ignored
        return Path(data_home) / "syncline"
    return Path.home() / ".local" / "share" / "syncline"


class Settings(BaseSettings):
    """Everything that can be set from outside. The variable of a field is SYNCLINE_ and its name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    #: The application's URL; None means the embedded Postgres under `home`.
    database_url: SecretStr | None = None
    #: Used by migrate, promote, retention, erase and backup only.
    admin_database_url: SecretStr | None = None
    #: A read-only role for analysts and `syncline psql`.
    reader_database_url: SecretStr | None = None
    database_pooler: Pooler = "auto"
    #: Database connections one process may open.
    pool_size: int = Field(default=10, ge=2, le=200)
    #: Seconds the embedded Postgres stays up after its last user has gone.
    postgres_idle_seconds: int = Field(default=30, ge=1, le=86_400)
    #: Folder with `postgres` and `initdb` to be used instead of those of the wheel.
    postgres_bin: Path | None = None

    home: Path = Field(default_factory=default_home)
    #: The key that encrypts CRM credentials.
    secret_key: SecretStr | None = None

    #: How long a worker that gives no sign of life keeps its run.
    lease_seconds: int = Field(default=30, ge=1, le=3600)
    #: Connections that write at once during a pull.
    writers: int = Field(default=2, ge=1, le=16)
    #: Records written in one transaction during a pull; more costs memory, fewer costs time.
    chunk_rows: int = Field(default=2000, ge=100, le=20_000)

    #: How others reach this installation's HTTP, e.g. https://hub.example.com; None means as they called it.
    public_url: str | None = None
    #: The server that takes mail, such as smtp://name:password@mail.example.com:587; smtps:// speaks TLS.
    smtp_url: SecretStr | None = None
    #: The address that mail comes from.
    mail_from: str | None = None
    #: Who vouches for people besides us, by OpenID Connect: the issuer's address.
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    #: Whether what subscribers and channels are told may be sent to private networks and this machine.
    webhooks_to_private_addresses: bool = False
    #: Proxies whose word on who called is taken: addresses and networks, separated by commas.
    trusted_proxies: str | None = None

    #: The most memory that answers kept for asking again may take in one process; 0 keeps none.
    cache_mb: int = Field(default=64, ge=0, le=16_384)
    #: Where answers are kept instead, for all processes: redis://…, rediss:// for TLS.
    redis_url: SecretStr | None = None
    #: What Prometheus shows to read /metrics; None leaves it to programs of this machine.
    metrics_token: SecretStr | None = None
    #: The collector that spans are sent to by OTLP over HTTP, such as http://localhost:4318.
    otlp_endpoint: str | None = None

    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"

    @field_validator("home", "postgres_bin")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - resolve() would follow links the operator chose

    @field_validator("database_url", "admin_database_url", "reader_database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            msg = "must begin with postgresql://"
            raise ValueError(msg)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        label = "[A-Za-z0-9_-]{1,63}"
        pattern = (
            rf"rediss?://([^/?#\s@]*@)?(\[[0-9a-fA-F:]+\]|{label}(\.{label})*)(:[0-9]{{1,5}})?(/[0-9]*)?"
        )
        if value is not None and not (
            re.fullmatch(pattern, value.get_secret_value()) and _has_port(value.get_secret_value())
        ):
            msg = (
                "must be an address such as redis://:password@redis.example.com:6379/0 (rediss:// for TLS), "
                "without a query, and with what is special in the password percent-encoded"
            )
            raise ValueError(msg)
        return value

    @field_validator("metrics_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
            msg = "must have at least 16 characters, without spaces"
            raise ValueError(msg)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        pattern = r"smtps?://([^/?#\s@]+@)?(\[[0-9a-fA-F:]+\]|[^/?#\s@:]+)(:[0-9]{1,5})?/?"
        # Ports are up to 65535, which the look of the number does not tell.
        if value is not None and not (
            re.fullmatch(pattern, value.get_secret_value()) and _has_port(value.get_secret_value())
        ):
            msg = "must be an address such as smtp://name:password@mail.example.com:587"
            raise ValueError(msg)
        return value

    @field_validator("mail_from")
    @classmethod
    def _mail_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(
            r"[^@<>\s]+@[^@<>\s]+|[^<>\r\n]*<[^@<>\s]+@[^@<>\s]+>", value
        ):
            msg = "must be an address such as Syncline <syncline@example.com>"
            raise ValueError(msg)
        return value

    @field_validator("public_url", "oidc_issuer", "otlp_endpoint")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://[^/?#\s@]+(/[^?#\s]*)?", value):
            msg = "must be an address such as https://hub.example.com, without a query"
            raise ValueError(msg)
        return value.rstrip("/")

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings  # one place to look, plus the files it names
        return init_settings, env_settings, _SecretFiles(settings_cls)


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads a secret from the file that SYNCLINE_<NAME>_FILE names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = PREFIX + field_name.upper()
        path = os.environ.get(variable + _FILE, "")
        if not path or not _is_secret(field):
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingInvalid(f"Both {variable} and {variable}{_FILE} are set. Keep one of them.")
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise SettingInvalid(
                f"{variable}{_FILE} names {path}, which cannot be read ({reason}). "
                "Correct the path or its permissions."
            ) from exc
        if not text:
            raise SettingInvalid(f"{variable}{_FILE} names {path}, which is empty. Write the secret into it.")
        return text, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


def load_settings() -> Settings:
    """Read the settings from the environment. Needs no database.

    Raises `SettingInvalid` for an unknown SYNCLINE_* variable, an unreadable secret file or a value
    that makes no sense; the message names the variable and never a value.
    """
    _refuse_unknown()
    try:
        settings = Settings()
    except ValidationError as exc:
        problems = [_explain(str(error["loc"][0]), error["msg"]) for error in exc.errors()]
        raise SettingInvalid(" ".join(problems)) from None
    _refuse_halves(settings)
    return settings


#: Setting → what it is of no use without.
_NEEDED = {
    "smtp_url": ("mail_from", "public_url"),
    "oidc_issuer": ("oidc_client_id", "oidc_client_secret", "public_url"),
}


def _refuse_halves(settings: Settings) -> None:
    for name, others in _NEEDED.items():
        missing = [other for other in others if getattr(settings, other) is None]
        if getattr(settings, name) is not None and missing:
            raise SettingInvalid(
                f"{PREFIX}{name.upper()} is of no use without {PREFIX}{missing[0].upper()}. "
                "Set both, or neither."
            )


def known_variables() -> list[str]:
    """Return every variable that `load_settings` reads, in alphabetical order."""
    names: list[str] = []
    for name, field in Settings.model_fields.items():
        names.append(PREFIX + name.upper())
        if _is_secret(field):
            names.append(PREFIX + name.upper() + _FILE)
    return sorted(names)


def _refuse_unknown() -> None:
    known = known_variables()
    for variable in sorted(os.environ):
        if not variable.upper().startswith(PREFIX) or variable in known:
            continue
        near = difflib.get_close_matches(variable.upper(), known, n=1, cutoff=0.6)
        advice = f"Did you mean {near[0]}?" if near else "Remove it; docs/configuration.md lists all."
        raise SettingInvalid(f"{variable} is not a setting of Syncline. {advice}")


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _explain(name: str, problem: str) -> str:
    text = problem.removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{PREFIX}{name.upper()} cannot be used: it {text[0].lower()}{text[1:]}. Correct or unset it."
