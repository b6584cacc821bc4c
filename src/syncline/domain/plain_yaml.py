"""YAML as people write settings in it: mappings, lists and plain values, read strictly and written plainly.

Knows nothing of what the settings mean. Aliases, tags, duplicate keys and oversized texts are refused, so
that a document is no larger in memory than it looks; `yes`, `off` and dates are texts, as they look.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.resolver import BaseResolver

from syncline.errors import Invalid

MAX_BYTES = 262_144
#: What the names of YAML's own types begin with.
_TAGS: str = BaseResolver.DEFAULT_MAPPING_TAG.removesuffix("map")
_MAX_DEPTH = 20
_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")
_PLAIN = re.compile(r"true|false|True|False|TRUE|FALSE")
_NULL = re.compile(r"~|null|Null|NULL|")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")


class _Loader(yaml.SafeLoader):
    """The safe loader, without what settings have no use for."""

    # YAML 1.1 would read NO as false, 1:30 as 90 and 2024-05-01 as a date.
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]
    _depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):  # pyright: ignore[reportUnknownMemberType]
            event: Any = cast("Any", self.peek_event())  # pyright: ignore[reportUnknownMemberType]
            raise yaml.MarkedYAMLError("", None, "references (*name) are not read here", event.start_mark)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Invalid(f"The text is nested more than {_MAX_DEPTH} levels deep.")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: MappingNode, deep: bool = True) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise yaml.MarkedYAMLError(problem="a name is no text", problem_mark=key_node.start_mark)
            key = key_node.value  # as it is written: a CRM's value may look like a number
            if key in found:
                raise yaml.MarkedYAMLError(
                    problem=f"“{key}” stands here a second time", problem_mark=key_node.start_mark
                )
            found[key] = self.construct_object(value_node, deep=deep)  # pyright: ignore[reportUnknownMemberType]
        return found


def _construct_map(loader: _Loader, node: MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


def _refuse(loader: _Loader, node: Node) -> Any:
    del loader
    raise yaml.MarkedYAMLError(problem=f"the tag {node.tag} is not read here", problem_mark=node.start_mark)


for _tag, _form, _first in (
    (_TAGS + "bool", _PLAIN, list("tTfF")),
    (_TAGS + "null", _NULL, ["~", "n", "N", ""]),
    (_TAGS + "int", _INTEGER, list("-+0123456789")),
    (_TAGS + "float", _DECIMAL, list("-+0123456789")),
):
    _Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
        _tag, re.compile(rf"(?:{_form.pattern})\Z"), _first
    )
_Loader.add_constructor(_TAGS + "map", _construct_map)
for _tag in ("binary", "timestamp", "omap", "pairs", "set"):
    _Loader.add_constructor(_TAGS + _tag, _refuse)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, with every line break but the plain one escaped: it would fold them."""


def _represent_text(dumper: _Dumper, text: str) -> ScalarNode:
    style = '"' if _BREAKS.search(text) else None
    return dumper.represent_scalar(_TAGS + "str", text, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _represent_text)


def read_yaml(text: str | bytes) -> Any:
    """Read one document; names are texts. Raises `Invalid` naming the line."""
    if len(text) > MAX_BYTES:
        raise Invalid(f"The text is longer than {MAX_BYTES:,} bytes.")
    try:
        plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return yaml.load(plain, Loader=_Loader)  # noqa: S506 - a safe loader's child
    except UnicodeDecodeError:
        raise Invalid("The text is not UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"Line {mark.line + 1}: "
        raise Invalid(f"{where}{error.problem or error.context}.") from None
    except yaml.YAMLError:
        raise Invalid("The text holds characters that YAML does not allow.") from None
    except (RecursionError, ValueError):
        raise Invalid("The text cannot be read as YAML.") from None


def write_yaml(document: Any) -> str:
    """Write plain values so that `read_yaml` reads them back."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
