"""Which kinds of objects there are, and under which names. Knows no records and no properties."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A kind of record. `name` is the plural word of the paths, `singular` that of association types."""

    type_id: str
    name: str
    singular: str
    scope: str
    #: Properties returned when none are asked for, beside those that always are.
    defaults: tuple[str, ...] = ()
    created_property: str = "hs_createdate"
    modified_property: str = "hs_lastmodifieddate"
    #: Groups of properties one of which a new record must have.
    required: tuple[tuple[str, ...], ...] = ()
    #: Properties that free-text search looks into.
    searchable: tuple[str, ...] = ()
    label_property: str = "hs_object_id"
    aliases: tuple[str, ...] = ()

    @property
    def always(self) -> tuple[str, str, str]:
        return (self.created_property, self.modified_property, "hs_object_id")


CONTACT = ObjectType(
    "0-1", "contacts", "contact", "contacts", ("email", "firstname", "lastname"),
    created_property="createdate", modified_property="lastmodifieddate",
    required=(("email", "firstname", "lastname"),),
    searchable=("email", "firstname", "lastname", "phone", "company"), label_property="email",
)  # fmt: skip
COMPANY = ObjectType(
    "0-2", "companies", "company", "companies", ("name", "domain"), created_property="createdate",
    required=(("name", "domain"),), searchable=("name", "domain", "website", "phone"), label_property="name",
)  # fmt: skip
DEAL = ObjectType(
    "0-3", "deals", "deal", "deals", ("dealname", "amount", "closedate", "pipeline", "dealstage"),
    created_property="createdate", required=(("dealname",), ("dealstage",)),
    searchable=("dealname",), label_property="dealname",
)  # fmt: skip
TICKET = ObjectType(
    "0-5", "tickets", "ticket", "tickets", ("subject", "content", "hs_pipeline", "hs_pipeline_stage"),
    created_property="createdate", required=(("subject",), ("hs_pipeline_stage",)), searchable=("subject",),
)  # fmt: skip
PRODUCT = ObjectType(
    "0-7", "products", "product", "products", ("name", "price"), created_property="createdate"
)
LINE_ITEM = ObjectType(
    "0-8", "line_items", "line_item", "line_items", ("name", "quantity", "price"),
    created_property="createdate", aliases=("line_item",),
)  # fmt: skip
TASK = ObjectType("0-27", "tasks", "task", "contacts", required=(("hs_timestamp",),))
NOTE = ObjectType("0-46", "notes", "note", "contacts", required=(("hs_timestamp",),))
MEETING = ObjectType("0-47", "meetings", "meeting_event", "contacts", required=(("hs_timestamp",),),
                     aliases=("meeting",))  # fmt: skip
CALL = ObjectType("0-48", "calls", "call", "contacts", required=(("hs_timestamp",),))
EMAIL = ObjectType("0-49", "emails", "email", "contacts",
                   required=(("hs_timestamp",), ("hs_email_direction",)))  # fmt: skip
LEAD = ObjectType("0-136", "leads", "lead", "contacts", ("hs_lead_name", "hs_lead_type"))

STANDARD = (
    CONTACT, COMPANY, DEAL, TICKET, PRODUCT, LINE_ITEM, TASK, NOTE, MEETING, CALL, EMAIL, LEAD,
)  # fmt: skip
ACTIVITIES = (CALL, MEETING, EMAIL, NOTE, TASK)


def custom_type(
    number: int, name: str, portal_id: int, defaults: tuple[str, ...], *, label_property: str
) -> ObjectType:
    """Describe an object the account has defined itself; it answers to four names."""
    return ObjectType(
        f"2-{number}", f"p{portal_id}_{name}", name, "custom", defaults,
        searchable=defaults, label_property=label_property, aliases=(name, f"p_{name}"),
    )  # fmt: skip


class ObjectTypes:
    """The types of one account, found by any of their names in any case."""

    def __init__(self) -> None:
        self.all: list[ObjectType] = []
        self._by_name: dict[str, ObjectType] = {}
        for kind in STANDARD:
            self.add(kind)

    def add(self, kind: ObjectType) -> None:
        self.all.append(kind)
        for name in (kind.type_id, kind.name, kind.singular, *kind.aliases):
            self._by_name[name.lower()] = kind

    def find(self, name: str) -> ObjectType | None:
        return self._by_name.get(name) or self._by_name.get(name.lower())

    def get(self, name: str) -> ObjectType:
        """Return the type. Raises `KeyError`."""
        kind = self.find(name)
        if kind is None:
            raise KeyError(name)
        return kind
