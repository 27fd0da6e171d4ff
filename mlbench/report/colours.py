"""A sequential colour scale that people with any colour vision can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

# Viridis (Smith and van der Walt 2015): even steps of lightness, also for colour-blind readers and in print.
_VIRIDIS = (
    (0x44, 0x01, 0x54),
    (0x48, 0x28, 0x78),
    (0x3E, 0x49, 0x89),
    (0x31, 0x68, 0x8E),
    (0x26, 0x82, 0x8E),
    (0x1F, 0x9E, 0x89),
    (0x35, 0xB7, 0x79),
    (0x6E, 0xCE, 0x58),
    (0xB5, 0xDE, 0x2B),
    (0xFD, 0xE7, 0x25),
)
_STEPS = 10

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Scale:
    """Colours for values from `low` (dark) to `high` (bright)."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Scale":
        """Return the narrowest scale between tenths that holds all values; no values give 0 to 1."""
        if not values:
            return cls(0.0, 1.0)
        # Rounded, so that .3 (which is a little more than 3 tenths in binary) stays a tenth.
        low = floor(round(min(values) * _STEPS, 9))
        high = max(ceil(round(max(values) * _STEPS, 9)), low + 1)
        return cls(low / _STEPS, high / _STEPS)

    def colour(self, value: float) -> Rgb:
        """Return the colour of a value; outside the scale, that of the nearer end."""
        place = min(1.0, max(0.0, (value - self.low) / (self.high - self.low))) * (len(_VIRIDIS) - 1)
        below = min(int(place), len(_VIRIDIS) - 2)
        share = place - below
        red, green, blue = (
            round(a + (b - a) * share) for a, b in zip(_VIRIDIS[below], _VIRIDIS[below + 1], strict=True)
        )
        return red, green, blue

    def ink(self, value: float) -> Rgb:
        """Return black or white, whichever is easier to read on the colour of the value."""
        colour = self.colour(value)
        return max(((0, 0, 0), (255, 255, 255)), key=lambda ink: contrast(ink, colour))

    def style(self, value: float) -> str:
        """Return a rich style: the colour of the value behind its ink."""
        return f"not bold {css(self.ink(value))} on {css(self.colour(value))}"


def css(colour: Rgb) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, contrast ratio)."""
    darker, brighter = sorted((_luminance(one), _luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: Rgb) -> float:
    red, green, blue = (
        channel / 3294.6 if channel <= 10 else ((channel / 255 + 0.055) / 1.055) ** 2.4 for channel in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
