"""The exit codes: every class of error has one."""

from __future__ import annotations

import inspect

from syncline import errors
from syncline.cli.exit_codes import CONNECTION, EXIT_CODES, FAILURE, OPERATOR, SUCCESS, code_of, code_of_all
from syncline.connectors.hubspot.failures import RouteUnknown
from syncline.errors import NotFound, SchemaOutdated, SynclineError, TokenRejected


def test_every_class_of_error_has_an_exit_code():
    classes = {
        each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, SynclineError)
    }
    assert set(EXIT_CODES) == classes


def test_no_error_ends_like_a_success():
    assert SUCCESS not in EXIT_CODES.values()


def test_a_connectors_own_error_has_the_code_of_its_kind():
    assert code_of(RouteUnknown(None)) == EXIT_CODES[NotFound]


def test_errors_that_agree_keep_their_code_and_others_share_one():
    assert code_of_all([]) == SUCCESS
    assert code_of_all([TokenRejected(), TokenRejected()]) == CONNECTION
    assert code_of_all([TokenRejected(), SchemaOutdated()]) == FAILURE
    assert code_of(SchemaOutdated()) == OPERATOR
