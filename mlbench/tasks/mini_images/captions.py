"""What the images of `mini-images` show, and how that is said in 11 languages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
COLOURS = ("red", "yellow", "green", "blue", "black", "brown", "purple", "grey")
COUNTS = (1, 2, 3, 4)
# How far apart shape and colour stand in their lists where combinations are held out, and the counts that then are.
_HELD_OUT = {0: (1, 2), 1: (2, 3), 3: (3, 4), 6: (4, 1)}


@dataclass(frozen=True, slots=True)
class Combination:
    """So many (`count`) shapes of one kind and colour; `name` is its own and fit for the name of a file."""

    shape: str
    colour: str
    count: int

    @property
    def name(self) -> str:
        """Such as `red-circle-3`."""
        return f"{self.colour}-{self.shape}-{self.count}"

    @property
    def held_out(self) -> bool:
        """Whether it is for evaluation alone: 64 of the 256 are.

        Each shape is held out 8 times, and so are each colour and 16 times each count; every pair of a shape, a colour
        and a count is seen in training. Each has others beside it that differ in the shape, in the colour or in the
        count alone, so that whoever ignores one of the three finds half of the images at best.
        """
        apart = (COLOURS.index(self.colour) - SHAPES.index(self.shape)) % len(COLOURS)
        return self.count in _HELD_OUT.get(apart, ())


def combinations(*, held_out: bool) -> Iterator[Combination]:
    """Yield the combinations for evaluation (64), or those for training (192), in a fixed order."""
    every = (Combination(*choice) for choice in product(SHAPES, COLOURS, COUNTS))
    return (combination for combination in every if combination.held_out == held_out)


Words = tuple[str, ...]


def unchanging(*words: str) -> dict[str, Words]:
    """Return a language's words for `COLOURS`, in their order, as words of one form."""
    return {colour: (word,) for colour, word in zip(COLOURS, words, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """How a language says that there are so many shapes of a colour.

    Each noun has a class, its gender or the word that counts it, and a form for each number that the language tells
    apart. `forms` says which form stands after 1, 2, 3 and 4; `orders` how the words follow each other in each form.
    `agreement` says for a class which of a colour's words stands with each form; a colour of one word never changes.
    """

    forms: tuple[int, int, int, int]
    orders: Words
    numerals: Mapping[str, Words]
    shapes: Mapping[str, Words]
    colours: Mapping[str, Words]
    agreement: Mapping[str, tuple[int, ...]]

    def say(self, combination: Combination) -> str:
        """Return the caption of a combination."""
        kind, *nouns = self.shapes[combination.shape]
        form = self.forms[combination.count - 1]
        colour = self.colours[combination.colour]
        return self.orders[form].format(
            number=self.numerals[kind][combination.count - 1],
            kind=kind,
            colour=colour[self.agreement[kind][form]] if len(colour) > 1 else colour[0],
            shape=nouns[form],
        )


_SINGULAR_AND_PLURAL = (0, 1, 1, 1)
_ONE_FORM = (0, 0, 0, 0)
# Two are a dual without a numeral. A plural of things takes the adjective's feminine singular, and its numeral has the
# gender that the noun has not. Colours: masculine, feminine, then their duals.
ARABIC = Grammar(
    forms=(0, 1, 2, 2),
    orders=("{shape} {colour} {number}", "{shape} {colour}", "{number} {shape} {colour}"),
    numerals={"m": ("واحد", "", "ثلاثة", "أربعة"), "f": ("واحدة", "", "ثلاث", "أربع")},
    shapes={
        "circle": ("f", "دائرة", "دائرتان", "دوائر"),
        "square": ("m", "مربع", "مربعان", "مربعات"),
        "triangle": ("m", "مثلث", "مثلثان", "مثلثات"),
        "star": ("f", "نجمة", "نجمتان", "نجوم"),
        "cross": ("m", "صليب", "صليبان", "صلبان"),
        "ring": ("f", "حلقة", "حلقتان", "حلقات"),
        "diamond": ("m", "معيّن", "معيّنان", "معيّنات"),
        "heart": ("m", "قلب", "قلبان", "قلوب"),
    },
    colours={
        "red": ("أحمر", "حمراء", "أحمران", "حمراوان"),
        "yellow": ("أصفر", "صفراء", "أصفران", "صفراوان"),
        "green": ("أخضر", "خضراء", "أخضران", "خضراوان"),
        "blue": ("أزرق", "زرقاء", "أزرقان", "زرقاوان"),
        "black": ("أسود", "سوداء", "أسودان", "سوداوان"),
        "brown": ("بني", "بنية", "بنيان", "بنيتان"),
        "purple": ("بنفسجي", "بنفسجية", "بنفسجيان", "بنفسجيتان"),
        "grey": ("رمادي", "رمادية", "رماديان", "رماديتان"),
    },
    agreement={"m": (0, 2, 1), "f": (1, 3, 1)},
)
# Colours without an article: masculine, feminine (as the plural of all), neuter.
GERMAN = Grammar(
    forms=_SINGULAR_AND_PLURAL,
    orders=("{number} {colour} {shape}",) * 2,
    numerals=dict.fromkeys(("m", "n"), ("ein", "zwei", "drei", "vier")) | {"f": ("eine", "zwei", "drei", "vier")},
    shapes={
        "circle": ("m", "Kreis", "Kreise"),
        "square": ("n", "Quadrat", "Quadrate"),
        "triangle": ("n", "Dreieck", "Dreiecke"),
        "star": ("m", "Stern", "Sterne"),
        "cross": ("n", "Kreuz", "Kreuze"),
        "ring": ("m", "Ring", "Ringe"),
        "diamond": ("f", "Raute", "Rauten"),
        "heart": ("n", "Herz", "Herzen"),
    },
    colours={
        "red": ("roter", "rote", "rotes"),
        "yellow": ("gelber", "gelbe", "gelbes"),
        "green": ("grüner", "grüne", "grünes"),
        "blue": ("blauer", "blaue", "blaues"),
        "black": ("schwarzer", "schwarze", "schwarzes"),
        "brown": ("brauner", "braune", "braunes"),
        "purple": ("violetter", "violette", "violettes"),
        "grey": ("grauer", "graue", "graues"),
    },
    agreement={"m": (0, 1), "f": (1, 1), "n": (2, 1)},
)
# Colours: masculine, feminine, neuter, then their plurals; those borrowed from other languages never change.
GREEK = Grammar(
    forms=_SINGULAR_AND_PLURAL,
    orders=("{number} {colour} {shape}",) * 2,
    numerals={
        "m": ("ένας", "δύο", "τρεις", "τέσσερις"),
        "f": ("μία", "δύο", "τρεις", "τέσσερις"),
        "n": ("ένα", "δύο", "τρία", "τέσσερα"),
    },
    shapes={
        "circle": ("m", "κύκλος", "κύκλοι"),
        "square": ("n", "τετράγωνο", "τετράγωνα"),
        "triangle": ("n", "τρίγωνο", "τρίγωνα"),
        "star": ("n", "αστέρι", "αστέρια"),
        "cross": ("m", "σταυρός", "σταυροί"),
        "ring": ("m", "δακτύλιος", "δακτύλιοι"),
        "diamond": ("m", "ρόμβος", "ρόμβοι"),
        "heart": ("f", "καρδιά", "καρδιές"),
    },
    colours={
        "red": ("κόκκινος", "κόκκινη", "κόκκινο", "κόκκινοι", "κόκκινες", "κόκκινα"),
        "yellow": ("κίτρινος", "κίτρινη", "κίτρινο", "κίτρινοι", "κίτρινες", "κίτρινα"),
        "green": ("πράσινος", "πράσινη", "πράσινο", "πράσινοι", "πράσινες", "πράσινα"),
        "blue": ("μπλε",),
        "black": ("μαύρος", "μαύρη", "μαύρο", "μαύροι", "μαύρες", "μαύρα"),
        "brown": ("καφέ",),
        "purple": ("μοβ",),
        "grey": ("γκρι",),
    },
    agreement={"m": (0, 3), "f": (1, 4), "n": (2, 5)},
)
ENGLISH = Grammar(
    forms=_SINGULAR_AND_PLURAL,
    orders=("{number} {colour} {shape}",) * 2,
    numerals={"": ("one", "two", "three", "four")},
    shapes={
        "circle": ("", "circle", "circles"),
        "square": ("", "square", "squares"),
        "triangle": ("", "triangle", "triangles"),
        "star": ("", "star", "stars"),
        "cross": ("", "cross", "crosses"),
        "ring": ("", "ring", "rings"),
        "diamond": ("", "diamond", "diamonds"),
        "heart": ("", "heart", "hearts"),
    },
    colours=unchanging("red", "yellow", "green", "blue", "black", "brown", "purple", "grey"),
    agreement={},
)
# Colours: masculine, feminine, then their plurals.
SPANISH = Grammar(
    forms=_SINGULAR_AND_PLURAL,
    orders=("{number} {shape} {colour}",) * 2,
    numerals={"m": ("un", "dos", "tres", "cuatro"), "f": ("una", "dos", "tres", "cuatro")},
    shapes={
        "circle": ("m", "círculo", "círculos"),
        "square": ("m", "cuadrado", "cuadrados"),
        "triangle": ("m", "triángulo", "triángulos"),
        "star": ("f", "estrella", "estrellas"),
        "cross": ("f", "cruz", "cruces"),
        "ring": ("m", "anillo", "anillos"),
        "diamond": ("m", "rombo", "rombos"),
        "heart": ("m", "corazón", "corazones"),
    },
    colours={
        "red": ("rojo", "roja", "rojos", "rojas"),
        "yellow": ("amarillo", "amarilla", "amarillos", "amarillas"),
        "green": ("verde", "verde", "verdes", "verdes"),
        "blue": ("azul", "azul", "azules", "azules"),
        "black": ("negro", "negra", "negros", "negras"),
        "brown": ("marrón", "marrón", "marrones", "marrones"),
        "purple": ("morado", "morada", "morados", "moradas"),
        "grey": ("gris", "gris", "grises", "grises"),
    },
    agreement={"m": (0, 2), "f": (1, 3)},
)
# All nouns are masculine; those that end in a consonant have one form. Colours in -a change: singular, plural.
HINDI = Grammar(
    forms=_SINGULAR_AND_PLURAL,
    orders=("{number} {colour} {shape}",) * 2,
    numerals={"m": ("एक", "दो", "तीन", "चार")},
    shapes={
        "circle": ("m", "वृत्त", "वृत्त"),
        "square": ("m", "वर्ग", "वर्ग"),
        "triangle": ("m", "त्रिभुज", "त्रिभुज"),
        "star": ("m", "तारा", "तारे"),
        "cross": ("m", "क्रॉस", "क्रॉस"),
        "ring": ("m", "छल्ला", "छल्ले"),
        "diamond": ("m", "समचतुर्भुज", "समचतुर्भुज"),
        "heart": ("m", "दिल", "दिल"),
    },
    colours={
        "red": ("लाल",),
        "yellow": ("पीला", "पीले"),
        "green": ("हरा", "हरे"),
        "blue": ("नीला", "नीले"),
        "black": ("काला", "काले"),
        "brown": ("भूरा", "भूरे"),
        "purple": ("बैंगनी",),
        "grey": ("स्लेटी",),
    },
    agreement={"m": (0, 1)},
)
# Nouns: nominative, then the genitive singular, which stands after 2, 3 and 4. Colours: masculine, feminine, neuter,
# then the plurals after 2, 3 and 4: the genitive, but the nominative with feminine nouns.
RUSSIAN = Grammar(
    forms=_SINGULAR_AND_PLURAL,
    orders=("{number} {colour} {shape}",) * 2,
    numerals={
        "m": ("один", "два", "три", "четыре"),
        "f": ("одна", "две", "три", "четыре"),
        "n": ("одно", "два", "три", "четыре"),
    },
    shapes={
        "circle": ("m", "круг", "круга"),
        "square": ("m", "квадрат", "квадрата"),
        "triangle": ("m", "треугольник", "треугольника"),
        "star": ("f", "звезда", "звезды"),
        "cross": ("m", "крест", "креста"),
        "ring": ("n", "кольцо", "кольца"),
        "diamond": ("m", "ромб", "ромба"),
        "heart": ("n", "сердце", "сердца"),
    },
    colours={
        "red": ("красный", "красная", "красное", "красных", "красные"),
        "yellow": ("жёлтый", "жёлтая", "жёлтое", "жёлтых", "жёлтые"),
        "green": ("зелёный", "зелёная", "зелёное", "зелёных", "зелёные"),
        "blue": ("синий", "синяя", "синее", "синих", "синие"),
        "black": ("чёрный", "чёрная", "чёрное", "чёрных", "чёрные"),
        "brown": ("коричневый", "коричневая", "коричневое", "коричневых", "коричневые"),
        "purple": ("фиолетовый", "фиолетовая", "фиолетовое", "фиолетовых", "фиолетовые"),
        "grey": ("серый", "серая", "серое", "серых", "серые"),
    },
    agreement={"m": (0, 3), "f": (1, 4), "n": (2, 3)},
)
# Written without spaces. The class of a noun is the word that counts it, which follows the number.
THAI = Grammar(
    forms=_ONE_FORM,
    orders=("{shape}{colour}{number}{kind}",),
    numerals=dict.fromkeys(("วง", "รูป", "ดวง", "อัน"), ("หนึ่ง", "สอง", "สาม", "สี่")),
    shapes={
        "circle": ("วง", "วงกลม"),
        "square": ("รูป", "สี่เหลี่ยมจัตุรัส"),
        "triangle": ("รูป", "สามเหลี่ยม"),
        "star": ("ดวง", "ดาว"),
        "cross": ("อัน", "กากบาท"),
        "ring": ("วง", "วงแหวน"),
        "diamond": ("รูป", "สี่เหลี่ยมขนมเปียกปูน"),
        "heart": ("ดวง", "หัวใจ"),
    },
    colours=unchanging("สีแดง", "สีเหลือง", "สีเขียว", "สีน้ำเงิน", "สีดำ", "สีน้ำตาล", "สีม่วง", "สีเทา"),
    agreement={},
)
# After a number nouns stay in the singular.
TURKISH = Grammar(
    forms=_ONE_FORM,
    orders=("{number} {colour} {shape}",),
    numerals={"": ("bir", "iki", "üç", "dört")},
    shapes={
        "circle": ("", "daire"),
        "square": ("", "kare"),
        "triangle": ("", "üçgen"),
        "star": ("", "yıldız"),
        "cross": ("", "haç"),
        "ring": ("", "halka"),
        "diamond": ("", "eşkenar dörtgen"),
        "heart": ("", "kalp"),
    },
    colours=unchanging("kırmızı", "sarı", "yeşil", "mavi", "siyah", "kahverengi", "mor", "gri"),
    agreement={},
)
# `hình` (figure) counts the shapes.
VIETNAMESE = Grammar(
    forms=_ONE_FORM,
    orders=("{number} {shape} màu {colour}",),
    numerals={"": ("một", "hai", "ba", "bốn")},
    shapes={
        "circle": ("", "hình tròn"),
        "square": ("", "hình vuông"),
        "triangle": ("", "hình tam giác"),
        "star": ("", "hình ngôi sao"),
        "cross": ("", "hình chữ thập"),
        "ring": ("", "hình vành khuyên"),
        "diamond": ("", "hình thoi"),
        "heart": ("", "hình trái tim"),
    },
    colours=unchanging("đỏ", "vàng", "xanh lá cây", "xanh dương", "đen", "nâu", "tím", "xám"),
    agreement={},
)
# Written without spaces. The class of a noun is the word that counts it, which follows the number.
CHINESE = Grammar(
    forms=_ONE_FORM,
    orders=("{number}{kind}{colour}的{shape}",),
    numerals=dict.fromkeys(("个", "颗"), ("一", "两", "三", "四")),
    shapes={
        "circle": ("个", "圆形"),
        "square": ("个", "正方形"),
        "triangle": ("个", "三角形"),
        "star": ("颗", "五角星"),
        "cross": ("个", "十字"),
        "ring": ("个", "圆环"),
        "diamond": ("个", "菱形"),
        "heart": ("颗", "爱心"),
    },
    colours=unchanging("红色", "黄色", "绿色", "蓝色", "黑色", "棕色", "紫色", "灰色"),
    agreement={},
)
GRAMMARS = {
    "ar": ARABIC,
    "de": GERMAN,
    "el": GREEK,
    "en": ENGLISH,
    "es": SPANISH,
    "hi": HINDI,
    "ru": RUSSIAN,
    "th": THAI,
    "tr": TURKISH,
    "vi": VIETNAMESE,
    "zh": CHINESE,
}


def captions(combination: Combination) -> dict[str, str]:
    """Return what a combination is called in each language."""
    return {language: grammar.say(combination) for language, grammar in GRAMMARS.items()}
