"""Who acts in the simulated wikis: regulars, bots, administrators, and people who edit once.

Names of people who edit once are unique strings of fixed length, so that a hidden name is found wherever it leaks.
"""

from __future__ import annotations

from random import Random
from typing import Final

from wikimirror.rehearsal.wiki import User

_FIRST: Final = (
    "Asta", "Bengt", "Chiara", "Dmitri", "Élodie", "Fatima", "Göran", "Hanae", "Ilse", "João", "Kwame", "Łucja",
    "Mateo", "Nour", "Oksana", "Priya", "Quentin", "Rūta", "Søren", "Thandi", "Ulla", "Vasilis", "Wenling", "Ximena",
    "Yusuf", "Zdeněk",
)  # fmt: skip
_LAST: Final = ("Aldergrove", "Bexhill", "Corvane", "Dunmarrow", "Estwick", "Fennimore")
_BOTS: Final = ("TidyLinksBot", "ArchivistBot", "CategoryRobot")
_ADMINS: Final = ("Marchwarden", "Ser Quillfeather", "Oversee-Olga", "Prüfstein")
_USER: Final = ("*", "user", "autoconfirmed")
_EDITORS: Final = (0.5, 0.12, 0.04, 0.34)
_PASSERS_BY: Final = (0.3, 0.4, 0.3)
_EPOCH_2006: Final = 1_136_073_600
_YEARS_18: Final = 568_000_000


class People:
    """The users of one wiki, drawn with the given generator. `day` is the first second of the simulated day."""

    def __init__(self, rng: Random, day: int) -> None:
        self._rng = rng
        self._day = day
        self._next_id = 1_000 + rng.randrange(9_000)
        self._regulars = [self._account(f"{first} {rng.choice(_LAST)}", _USER) for first in _FIRST]
        self._bots = [self._account(name, ("bot", *_USER)) for name in _BOTS]
        self._admins = [self._account(name, ("sysop", *_USER)) for name in _ADMINS]

    def editor(self) -> User:
        """Somebody who edits: mostly a regular, sometimes a bot, an administrator or a passer-by."""
        kind = self._rng.choices(("regular", "bot", "administrator", "passer-by"), _EDITORS)[0]
        if kind == "regular":
            return self._regulars[int(len(self._regulars) ** self._rng.random()) - 1]
        if kind == "bot":
            return self._rng.choice(self._bots)
        return self.administrator() if kind == "administrator" else self.passer_by()

    def administrator(self) -> User:
        """Somebody who may delete and hide."""
        return self._rng.choice(self._admins)

    def passer_by(self) -> User:
        """Somebody who edits once: an IP address, a temporary account or a new account, with a name of its own."""
        kind = self._rng.choices(("address", "temporary", "new"), _PASSERS_BY)[0]
        mark = f"{self._rng.getrandbits(40):010x}"
        if kind == "address":
            parts = (mark[:4], mark[4:8], f"4{mark[8:]}0", "A17", "B28", "C39")
            return User("2001:DB8:" + ":".join(part.upper() for part in parts), None)
        if kind == "temporary":
            return self._account(f"~2026-{int(mark, 16):013d}", ("*", "temp"), registered=self._day, is_temp=True)
        return self._account(f"{self._rng.choice(_FIRST)}-{mark}", ("*", "user"), registered=self._day)

    def _account(
        self, name: str, groups: tuple[str, ...], registered: int | None = None, *, is_temp: bool = False
    ) -> User:
        self._next_id += 1 + self._rng.randrange(40)
        count = 1
        if registered is None:
            registered = _EPOCH_2006 + self._rng.randrange(_YEARS_18)
            count = 1 + int(200_000 ** self._rng.random())
        return User(name, self._next_id, self._next_id * 17 + 5, groups, registered, count, is_temp)
