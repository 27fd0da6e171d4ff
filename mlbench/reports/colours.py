"""Colour scales that people with any colour vision can read: a sequential and a diverging one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

Rgb = tuple[int, int, int]
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
# RdBu (Brewer 2003), without its darkest ends: red and blue differ for every colour vision, the middle is neutral.
_RED_TO_BLUE = (
    (0xB2, 0x18, 0x2B),
    (0xD6, 0x60, 0x4D),
    (0xF4, 0xA5, 0x82),
    (0xFD, 0xDB, 0xC7),
    (0xF7, 0xF7, 0xF7),
    (0xD1, 0xE5, 0xF0),
    (0x92, 0xC5, 0xDE),
    (0x43, 0x93, 0xC3),
    (0x21, 0x66, 0xAC),
)
# How far a scale around zero may reach: a colour that stands for less than .01 would cry wolf.
_REACHES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
_STEPS = 10
_BAR_STEPS, _BAR_STEP = 24, 6
BAR_WIDTH = _BAR_STEPS * _BAR_STEP
"""How wide the bar of a scale is, in pixels."""


@dataclass(frozen=True, slots=True)
class ColourScale:
    """Colours for values from `low` to `high`, by default from dark to bright; `stops` are evenly far apart."""

    low: float
    high: float
    stops: tuple[Rgb, ...] = _VIRIDIS

    @classmethod
    def of(cls, values: Sequence[float]) -> "ColourScale":
        """Return the narrowest scale between tenths that holds all values; no values give 0 to 1."""
        if not values:
            return cls(0.0, 1.0)
        # Rounded, so that .3 (which is a little more than 3 tenths in binary) stays a tenth.
        low = floor(round(min(values) * _STEPS, 9))
        high = max(ceil(round(max(values) * _STEPS, 9)), low + 1)
        return cls(low / _STEPS, high / _STEPS)

    @classmethod
    def around_zero(cls, values: Sequence[float]) -> "ColourScale":
        """Return a scale from red by a neutral zero to blue, as far down as up; no values reach as far as the least."""
        largest = max(map(abs, values), default=0.0)
        reach = next((each for each in _REACHES if each >= largest), _REACHES[-1])
        return cls(-reach, reach, _RED_TO_BLUE)

    def colour(self, value: float) -> Rgb:
        """Return the colour of a value; outside the scale, that of the nearer end."""
        place = min(1.0, max(0.0, (value - self.low) / (self.high - self.low))) * (len(self.stops) - 1)
        below = min(int(place), len(self.stops) - 2)
        share = place - below
        red, green, blue = (
            round(a + (b - a) * share) for a, b in zip(self.stops[below], self.stops[below + 1], strict=True)
        )
        return red, green, blue

    def ink(self, value: float) -> Rgb:
        """Return black or white, whichever is easier to read on the colour of the value."""
        colour = self.colour(value)
        return max(((0, 0, 0), (255, 255, 255)), key=lambda ink: contrast(ink, colour))

    def style(self, value: float) -> str:
        """Return a rich style: the colour of the value behind its ink."""
        return f"not bold {css(self.ink(value))} on {css(self.colour(value))}"


def bar_svg(scale: ColourScale, x: float, y: float) -> Iterator[str]:
    """Yield elements of a bar with all colours of a scale, whose upper left corner is at (`x`, `y`)."""
    for step in range(_BAR_STEPS):
        colour = css(scale.colour(scale.low + (scale.high - scale.low) * step / (_BAR_STEPS - 1)))
        yield f'<rect x="{x + step * _BAR_STEP}" y="{y}" width="{_BAR_STEP + 1}" height="14" fill="{colour}"/>'


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
