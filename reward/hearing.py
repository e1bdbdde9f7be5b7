"""How scorers hear clips, and what that does to a clip: mixed, resampled, shortened, cut into pieces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from music.clips import ClipHeader

# how a fact begins, and what is said of a clip that it is told of
_KINDS = {
    "mixed to mono": "mixed to mono",
    "resampled": "resampled",
    "only the first": "heard in part",
    "heard in pieces": "heard in pieces",
    "brought from": "brought to one level",
}


@dataclass(frozen=True)
class Hearing:
    """What a model is given of a clip; what is not known is not told.

    Attributes
    ----------
    mono
        Whether channels are averaged.
    sample_rate
        Rate that clips are resampled to, Hz; None if they are not, or nobody knows.
    seconds
        Length of the beginning that is heard, s; None if that is all of it, or nobody knows.
    piece
        Seconds that are heard of each piece, and length of the pieces, where a clip is heard in several.
    """

    mono: bool = False
    sample_rate: int | None = None
    seconds: float | None = None
    piece: tuple[float, float] | None = None

    def of_beginning(self, seconds: float) -> "Hearing":
        """Return how the beginning of a clip is heard that alone is handed over, s."""
        return replace(self, seconds=min(seconds, self.seconds or seconds))

    def of_pieces(self, piece: float, seconds: float) -> "Hearing":
        """Return how the pieces (s) of the beginning (s) of a clip are heard, each by itself."""
        return replace(self, seconds=seconds, piece=(min(piece, self.seconds or piece), piece))

    def facts(self, clip: ClipHeader) -> list[str]:
        """Return what is done to a clip; nothing if it is heard as it is."""
        found = []
        if self.mono and clip.channels > 1:
            found.append(f"mixed to mono from {clip.channels} channels")
        if self.sample_rate not in (None, clip.sample_rate):
            found.append(f"resampled from {clip.sample_rate} to {self.sample_rate} Hz")
        length = clip.samples / clip.sample_rate
        if self.seconds is not None and clip.samples > round(self.seconds * clip.sample_rate):
            found.append(f"only the first {self.seconds:g} s of {length:.1f} s were heard")
        if self.piece is not None:
            heard, size = self.piece
            if heard < min(size, length):
                found.append(f"only the first {heard:g} s of each {size:g} s were heard")
            elif length > size:
                found.append(f"heard in pieces of {size:g} s")
        return found


def told_of(clip: ClipHeader, hearings: Sequence[Hearing], more: Iterable[str] = ()) -> str:
    """Return in a line what is done to a clip, by all of the models that hear it or by some; `more` goes before."""
    each = [hearing.facts(clip) for hearing in hearings]
    found = dict.fromkeys(fact for facts in each for fact in facts)
    some = " by some of the scorers"
    told = [fact if all(fact in facts for facts in each) else fact + some for fact in found]
    return "; ".join([*more, *told])


def counted(told: Sequence[str]) -> str:
    """Return in a line of how many clips what is told, a text of `told_of` for each clip; empty if nothing is."""
    counts = {}
    for opening, said in _KINDS.items():
        counts[said] = sum(any(fact.startswith(opening) for fact in one.split("; ")) for one in told)
    found = [(said, count) for said, count in counts.items() if count]
    if not found:
        return ""
    (said, count), *others = [(f"{'was' if count == 1 else 'were'} {said}", count) for said, count in found]
    clips = "clip" if len(told) == 1 else "clips"
    return "; ".join([f"{count} of {len(told)} {clips} {said}", *(f"{n} {what}" for what, n in others)])
