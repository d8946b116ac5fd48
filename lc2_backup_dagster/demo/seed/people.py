"""Invented people: enough of a person for the columns that a later sanitising step must recognise."""

from dataclasses import dataclass
from random import Random

_FIRST_NAMES = """
Amelia Anders Anna Arjun Beatriz Ben Carla Chen Chloe Clara Daniel David Elena Elif Emma Erik Fatima Felix Finn
Francesca Gabriel Grace Hana Hannah Hugo Ines Ivan Jakub Jan Jonas Julia Kaito Karim Lars Laura Lea Leon Lucia Magda
Maria Mateo Maya Mehmet Mia Mila Nadia Noah Nora Olga Omar Paolo Paul Petra Priya Rafael Rosa Sara Sofia Stefan Tara
Tomas Vera Viktor Yara Yusuf Zoe Zoltán José Søren Zoë
"""
_LAST_NAMES = """
Abbas Almeida Andersen Bauer Becker Bianchi Braun Brown Carvalho Costa Demir Dubois Eriksson Evans Fernández Ferrari
Fischer Fuchs García Gomes Green Gupta Haas Hansen Hoffmann Horváth Huber Ito Ivanova Jansen Jensen Kaya Keller Khan
King Klein Koch Kovač Krüger Larsen Lee Lewis Lopez Maier Martin Meyer Moreau Müller Nagy Nielsen Novak Olsen Patel
Peeters Petrov Popescu Ricci Romano Rossi Santos Sato Schmidt Silva Singh Smit Suzuki Tanaka Torres Virtanen Wagner
Walker Wang Weber Wolf Wright Yılmaz Zhang
"""
_FIRST, _LAST = _FIRST_NAMES.split(), _LAST_NAMES.split()
_JOBS = (
    "Account Manager",
    "Accountant",
    "Business Analyst",
    "Buyer",
    "Content Editor",
    "Controller",
    "Customer Adviser",
    "Data Protection Officer",
    "Developer",
    "Facility Manager",
    "Head of Sales",
    "HR Partner",
    "Legal Counsel",
    "Logistics Planner",
    "Marketing Manager",
    "Product Owner",
    "Quality Engineer",
    "Site Administrator",
    "Solution Architect",
    "Team Assistant",
    "Technician",
    "Works Council Member",
)
_QUESTIONS = (
    "what-is-your-father's-middle-name",
    "what-is-your-library-card-number",
    "what-was-your-first-phone-number",
    "what-was-your-first-teacher's-name",
)
_PLAIN = str.maketrans("áéíóúüñøěčćäößıșğłşë", "aeiouunoeccaosisglse")


@dataclass(frozen=True, slots=True)
class Person:
    """One invented person."""

    first_name: str
    last_name: str
    screen_name: str
    email_address: str
    job_title: str
    reminder_question: str
    reminder_answer: str
    phone_number: str
    male: bool
    birthday: str

    @property
    def full_name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"


def invent_person(random: Random, number: int) -> Person:
    """Return a person; ``number`` makes screen name and address unique."""
    first, last = random.choice(_FIRST), random.choice(_LAST)
    screen_name = f"{first}.{last}.{number}".lower().translate(_PLAIN)
    question = random.choice(_QUESTIONS)
    return Person(
        first_name=first,
        last_name=last,
        screen_name=screen_name,
        email_address=f"{screen_name}@{random.choice(('example.com', 'example.org', 'mail.example.net'))}",
        job_title=random.choice(_JOBS),
        reminder_question=question,
        reminder_answer=random.choice(_LAST) if "name" in question else str(random.randrange(10**9, 10**10)),
        phone_number=f"+49 {random.randrange(100, 999)} {random.randrange(10**6, 10**7)}",
        male=random.random() < 0.5,
        birthday=f"{random.randrange(1958, 2004)}-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}",
    )
