"""Titles, texts and comments of the simulated wikis.

Every text and nearly every comment holds a mark: a random string that is nowhere else. A text that was removed is
found by its mark wherever a part of it leaks, and no text is part of another.
"""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

from wikimirror.rehearsal.wiki import Content, content

WIKITEXT: Final = ("wikitext", "text/x-wiki")
ITEM: Final = ("wikibase-item", "application/json")

_WORDS: Final = (
    "the", "river", "a", "village", "in", "and", "of", "with", "old", "stone", "bridge", "near", "northern", "coast",
    "its", "harbour", "was", "built", "after", "flood", "railway", "station", "opened", "council", "museum", "holds",
    "süßwasser", "forêt", "peña", "Kraków", "東京", "городской", "ελληνικά", '"quoted"', "[[link]]", "😀", "a—b", "…",
    "{{cite|year=1931}}", "''italic''", "back\\slash", "<ref name=x/>", "&", "parish", "census", "restored", "tower",
    "painter", "moved", "fishing", "trade", "quarry", "moss", "granite", "lighthouse", "district", "school", "letters",
)  # fmt: skip
_ADJECTIVES: Final = (
    "Amber", "Broken", "Çeşme", "Distant", "Élevé", "Fallow", "Grüne", "Hollow", "Inner", "Jagged", "Kleine",
    "Lower", "Møre", "Northern", "Old", "Påskö", "Quiet", "Red", "Šumava", "Tidal", "Upper", "Vår", "Western", "Żółty",
)  # fmt: skip
_NOUNS: Final = (
    "Abbey", "Bay", "Causeway", "Dam & Weir", "Estuary", "Ferry", "Glacier", "Hüttenwerk", "Island", "Junction",
    "Kiln", "Lighthouse", "Mill (ruin)", "Notch", "Observatory", "Pass", "Quarry", "Reservoir", "Schloß", "Terminus",
    "Ufer", "Viaduct", "Windmühle", "O'Brien's Yard", "湖", "神社",
)  # fmt: skip
_SUMMARIES: Final = (
    "copy-edit", "added a source", "typo", "/* History */ expanded", "Rechtschreibung", "updated figures",
    "+ category", "出典を追加", "reply", "removed a dead link",
)  # fmt: skip
_SILENT_SHARE: Final = 0.12


class Prose:
    """Writes what people write, drawn with the given generator."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._corpus = " ".join(rng.choice(_WORDS) for _ in range(24_000))
        self._items = 10_000_000 + rng.randrange(1_000_000)

    def mark(self, kind: str) -> str:
        """A string that is nowhere else, of fixed length for its kind."""
        return f"{kind}-{self._rng.getrandbits(64):016x}"

    def title(self, prefix: str) -> str:
        """A title with spaces that no page has had, prefixed with its namespace's name."""
        name = f"{self._rng.choice(_ADJECTIVES)} {self._rng.choice(_NOUNS)} {self._rng.getrandbits(36):09x}"
        return f"{prefix}:{name}" if prefix else name

    def item_title(self) -> str:
        """The title of a new Wikidata item."""
        self._items += 1 + self._rng.randrange(9)
        return f"Q{self._items}"

    def comment(self) -> str:
        """An edit summary; about one in eight is empty."""
        if self._rng.random() < _SILENT_SHARE:
            return ""
        return f"{self._rng.choice(_SUMMARIES)} {self.mark('why')}"

    def article(self, length: int | None = None) -> Content:
        """A wikitext of about `length` characters; by default 200 to 4,000, short ones more often."""
        token = self.mark("text")
        if length is None:
            length = int(200 * 20 ** self._rng.random())
        start = self._rng.randrange(len(self._corpus) // 2)
        prose = self._corpus[start : start + length]
        while len(prose) < length:
            prose += f"\n\n== {len(prose)} ==\n{self._corpus}"
        return content(f"'''{token}''' is here.\n\n{prose[:length]}\n", token, *WIKITEXT)

    def item(self, title: str) -> Content:
        """A Wikidata item as JSON."""
        token = self.mark("item")
        start = self._rng.randrange(len(self._corpus) // 2)
        words = self._corpus[start : start + int(100 * 20 ** self._rng.random())]
        claims = {f"P{n}": [{"rank": "normal", "value": word}] for n, word in enumerate(words.split(" ")[:20], 20)}
        labels = {"en": {"language": "en", "value": token}}
        entity = {"type": "item", "id": title, "labels": labels, "descriptions": {"en": words}, "claims": claims}
        return content(msgspec.json.encode(entity).decode(), token, *ITEM)

    def redirect(self, target: str) -> Content:
        """A wikitext that redirects to `target`."""
        token = self.mark("redirect")
        return content(f"#REDIRECT [[{target}]]\n\n{{{{R from move|{token}}}}}\n", token, *WIKITEXT, target)

    def item_redirect(self, title: str, target: str) -> Content:
        """A Wikidata item that redirects to another."""
        token = self.mark("redirect")
        entity = {"entity": title, "redirect": target, "note": token}
        return content(msgspec.json.encode(entity).decode(), token, *ITEM, target)
