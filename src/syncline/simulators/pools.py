"""Words that generated records are made of. Only data."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Ava Noah Mia Liam Zoë Ethan Chloé Lucas Sofía Mateo Emma Oliver Hannah Jakub Łukasz Agnieszka "
    "Jürgen Anke Björn Ingrid Siobhán Rory Fatima Omar Leila Hassan Priya Arjun Ananya Ravi Mei Wei "
    "Yuki Haruto Jin Soo-ah Thandiwe Kwame Amara Chidi Isabel João Beatriz Tiago Elena Dmitri Olga "
    "Pavel Nina Viktor Grace Henry Ruth Samuel Diane Walter Joyce Carl Denise Roy Tamara Curtis Renée "
    "André Hélène Maëlle Nils Astrid Freya Sven Marta Paolo Giulia Enzo Chiara Luca Aisha Yusuf Zainab "
    "Ibrahim Deborah Keith Paula Neil Sharon Glenn 李 张伟 "
)
LAST_NAMES = _words(
    "Abernathy Baker Castillo Dubois Eriksson Fischer García Hughes Ivanov Jensen Kowalski Lindqvist "
    "Müller Novak O'Brien Pereira Quigley Rossi Schäfer Takahashi Ueda Vasquez Whitfield Xu Yamamoto "
    "Zieliński Adeyemi Bianchi Chowdhury Desai Eastwood Fontaine Gallagher Horvath Iyer Johansson "
    "Kaplan Larsen Moreau Nakamura Okafor Patel Qureshi Ramirez Santos Thornton Ulrich Varga Winslow "
    "Yilmaz Zimmermann Ainsworth Brennan Costa Delgado Ellery Fairbanks Gutiérrez Hartmann Ibsen "
    "Jablonski Keller Lombardi Marchetti Nielsen Ortega Papadopoulos Quesada Reinholt Svensson Tanaka "
    "Underhill Vogel Wójcik Yeboah Zapata Albrecht Blackwood Crawford Drummond "
)
COMPANY_HEADS = _words(
    "Northwind Bluewater Ironbridge Silverpine Redstone Lakeshore Granite Summit Harbor Beacon Cedar "
    "Falcon Pioneer Atlas Vertex Quantum Evergreen Copper Maple Sterling Cascade Horizon Keystone "
    "Liberty Meridian Orchard Prairie Riverbend Sagebrush Timber Valley Westgate Anchor Birchwood "
    "Cobalt Dunmore Elmwood Foxglove Glenwood Hawthorn "
)
COMPANY_MIDDLES = _words(
    "Systems Logistics Builders Analytics Medical Robotics Foods Energy Marine Security Software "
    "Dynamics Interiors Engineering Aerospace Consulting Textiles Mechanical Environmental Facilities "
    "Data Mobility Materials Roofing "
)
COMPANY_TAILS = ("Inc.", "LLC", "GmbH", "Ltd", "Group", "Partners", "& Sons", "Co.", "S.A.", "AB")
FREE_MAIL = ("mailbox.example", "inbox.example", "post.example", "webmail.example")
JOB_TITLES = (
    "Owner", "CEO", "Founder", "Operations Manager", "Project Engineer", "Head of Procurement",
    "Sales Director",
    "Marketing Manager", "Contracts Administrator", "Estimator", "VP Business Development", "CFO", "CTO",
    "Office Manager", "Program Manager", "Facilities Manager", "Account Executive", "Buyer", "IT Manager",
)  # fmt: skip
STREETS = (
    "Main St",
    "Oak Avenue",
    "2nd Street",
    "Market Street",
    "Industrial Pkwy",
    "Elm Road",
    "Harbor Blvd",
    "Mill Lane",
)
#: (city, state, zip, country, calling code, area code)
PLACES = (
    ("New York", "NY", "10016", "United States", "1", "212"),
    ("Austin", "TX", "78701", "United States", "1", "512"),
    ("San Francisco", "CA", "94105", "United States", "1", "415"),
    ("Chicago", "IL", "60606", "United States", "1", "312"),
    ("Denver", "CO", "80202", "United States", "1", "303"),
    ("Atlanta", "GA", "30303", "United States", "1", "404"),
    ("Seattle", "WA", "98101", "United States", "1", "206"),
    ("Arlington", "VA", "22201", "United States", "1", "703"),
    ("Toronto", "ON", "M5H 2N2", "Canada", "1", "416"),
    ("London", "", "EC2A 4NE", "United Kingdom", "44", "7"),
    ("Berlin", "Berlin", "10115", "Germany", "49", "151"),
    ("Sydney", "NSW", "2000", "Australia", "61", "4"),
    ("Kraków", "Małopolskie", "30-001", "Poland", "48", "5"),
)
PLACE_WEIGHTS = (14, 10, 10, 9, 7, 7, 7, 6, 6, 9, 6, 5, 4)
EVENTS = (
    "Contact us: Website form",
    "Demo request",
    "VSL opt-in: Landing page",
    "Webinar sign-up",
    "Newsletter",
)
CAMPAIGNS = ("spring-launch", "brand-search-us", "retargeting-q3", "partner-newsletter", "vsl-cold-1")
MESSAGES = (
    "Looking for pricing for a team of 12.", "Saw your video, please call me after 3 pm.",
    "We need help with a proposal.\nDeadline is next month.", "Wer ist für Österreich zuständig?",
    "Can you send references? Thanks 🙏", 'They said "not before May" — follow up.',
)  # fmt: skip
CALL_TITLES = (
    "Intro call",
    "Discovery call",
    "Follow-up",
    "Demo call",
    "Pricing discussion",
    "Check-in",
    "Closing call",
)
CALL_BODIES = (
    "<p>Spoke about scope and budget. Sends documents by Friday.</p>", "<p>No answer, left a voicemail.</p>",
    "<p>Interested, asked for a second call with the partner.</p>",
    "<p>Wrong person; forwarded to purchasing.</p>", "",
)  # fmt: skip
MEETING_TITLES = ("Product demo", "Kick-off", "Quarterly review", "Proposal walk-through", "On-site visit")
SUBJECTS = (
    "Re: our proposal",
    "Next steps",
    "Your question about pricing",
    "Invoice attached",
    "Meeting recap",
)
NOTE_BODIES = (
    "<p>Prefers to be reached by e-mail.</p>", "<p>Budget is approved, decision in two weeks.</p>",
    "<p>Competes with an existing vendor until the contract ends.</p>", "<p>Asked about instalments.</p>",
)  # fmt: skip
TASK_SUBJECTS = ("Call back", "Send proposal", "Prepare contract", "Check payment", "Ask for referral")
TEAMS = (("1", "Sales"), ("2", "Customer Success"), ("3", "Partnerships"))
CAR_MAKES = (("Volvo", "XC40"), ("Toyota", "Corolla"), ("Ford", "Transit"), ("Renault", "Zoe"), ("BMW", "i3"))
