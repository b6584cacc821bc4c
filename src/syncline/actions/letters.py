"""What people are written, and the links in it: invitations and new passwords."""

from __future__ import annotations

from syncline.engine.mail import Letter

#: Where the pages are that links lead to; the token follows.
INVITATION_PATH = "/invitation/"
PASSWORD_PATH = "/password/"  # noqa: S105 - a path


def invitation_link(base_url: str, token: str) -> str:
    return f"{base_url.rstrip('/')}{INVITATION_PATH}{token}"


def password_link(base_url: str, token: str) -> str:
    return f"{base_url.rstrip('/')}{PASSWORD_PATH}{token}"


def write_invitation(to: str, *, link: str, tenant: str, invited_by: str, days: int) -> Letter:
    return Letter(
        to,
        f"Your invitation to {_line(tenant)} in Syncline",
        f"{_line(invited_by)} invites you to work with {_line(tenant)} in Syncline.\n\n"
        f"Accept it here within {days} days:\n\n{link}\n\n"
        "If you did not expect this, you need do nothing.\n",
    )


def write_reset(to: str, *, link: str, minutes: int) -> Letter:
    return Letter(
        to,
        "A new password for Syncline",
        f"Set a new password here within {minutes} minutes:\n\n{link}\n\n"
        "The link works once. If you did not ask for it, you need do nothing: your password stays.\n",
    )


def write_changed(to: str) -> Letter:
    return Letter(
        to,
        "Your password for Syncline was changed",
        "The password of your account was changed, and every other session of yours has ended.\n\n"
        "If this was not you, ask for a new password at once and tell your administrator.\n",
    )


def _line(text: str) -> str:
    """Return a name as one line: a line break in a subject would be a header of its own."""
    return " ".join(text.split())
