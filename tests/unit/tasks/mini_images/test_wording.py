from collections import Counter
from itertools import product
from string import punctuation

import pytest

from mlbench.tasks.mini_images.captions import COLOURS, COUNTS, GRAMMARS, SHAPES, Combination, captions

# Written out by hand, not made from the tables: each shape once as one or two, and once as three or four.
ENGLISH = [
    "one red circle",
    "two yellow stars",
    "one green square",
    "two blue rings",
    "one black heart",
    "two brown diamonds",
    "one purple cross",
    "two grey triangles",
    "one yellow star",
    "two red circles",
    "one grey ring",
    "two green hearts",
    "three yellow circles",
    "four red stars",
    "three blue squares",
    "four green rings",
    "three red hearts",
    "four grey diamonds",
    "three black crosses",
    "four purple triangles",
    "one blue diamond",
    "two black crosses",
]
EXPECTED = {
    "ar": [
        "دائرة حمراء واحدة",
        "نجمتان صفراوان",
        "مربع أخضر واحد",
        "حلقتان زرقاوان",
        "قلب أسود واحد",
        "معيّنان بنيان",
        "صليب بنفسجي واحد",
        "مثلثان رماديان",
        "نجمة صفراء واحدة",
        "دائرتان حمراوان",
        "حلقة رمادية واحدة",
        "قلبان أخضران",
        "ثلاث دوائر صفراء",
        "أربع نجوم حمراء",
        "ثلاثة مربعات زرقاء",
        "أربع حلقات خضراء",
        "ثلاثة قلوب حمراء",
        "أربعة معيّنات رمادية",
        "ثلاثة صلبان سوداء",
        "أربعة مثلثات بنفسجية",
        "معيّن أزرق واحد",
        "صليبان أسودان",
    ],
    "de": [
        "ein roter Kreis",
        "zwei gelbe Sterne",
        "ein grünes Quadrat",
        "zwei blaue Ringe",
        "ein schwarzes Herz",
        "zwei braune Rauten",
        "ein violettes Kreuz",
        "zwei graue Dreiecke",
        "ein gelber Stern",
        "zwei rote Kreise",
        "ein grauer Ring",
        "zwei grüne Herzen",
        "drei gelbe Kreise",
        "vier rote Sterne",
        "drei blaue Quadrate",
        "vier grüne Ringe",
        "drei rote Herzen",
        "vier graue Rauten",
        "drei schwarze Kreuze",
        "vier violette Dreiecke",
        "eine blaue Raute",
        "zwei schwarze Kreuze",
    ],
    "el": [
        "ένας κόκκινος κύκλος",
        "δύο κίτρινα αστέρια",
        "ένα πράσινο τετράγωνο",
        "δύο μπλε δακτύλιοι",
        "μία μαύρη καρδιά",
        "δύο καφέ ρόμβοι",
        "ένας μοβ σταυρός",
        "δύο γκρι τρίγωνα",
        "ένα κίτρινο αστέρι",
        "δύο κόκκινοι κύκλοι",
        "ένας γκρι δακτύλιος",
        "δύο πράσινες καρδιές",
        "τρεις κίτρινοι κύκλοι",
        "τέσσερα κόκκινα αστέρια",
        "τρία μπλε τετράγωνα",
        "τέσσερις πράσινοι δακτύλιοι",
        "τρεις κόκκινες καρδιές",
        "τέσσερις γκρι ρόμβοι",
        "τρεις μαύροι σταυροί",
        "τέσσερα μοβ τρίγωνα",
        "ένας μπλε ρόμβος",
        "δύο μαύροι σταυροί",
    ],
    "en": ENGLISH,
    "es": [
        "un círculo rojo",
        "dos estrellas amarillas",
        "un cuadrado verde",
        "dos anillos azules",
        "un corazón negro",
        "dos rombos marrones",
        "una cruz morada",
        "dos triángulos grises",
        "una estrella amarilla",
        "dos círculos rojos",
        "un anillo gris",
        "dos corazones verdes",
        "tres círculos amarillos",
        "cuatro estrellas rojas",
        "tres cuadrados azules",
        "cuatro anillos verdes",
        "tres corazones rojos",
        "cuatro rombos grises",
        "tres cruces negras",
        "cuatro triángulos morados",
        "un rombo azul",
        "dos cruces negras",
    ],
    "hi": [
        "एक लाल वृत्त",
        "दो पीले तारे",
        "एक हरा वर्ग",
        "दो नीले छल्ले",
        "एक काला दिल",
        "दो भूरे समचतुर्भुज",
        "एक बैंगनी क्रॉस",
        "दो स्लेटी त्रिभुज",
        "एक पीला तारा",
        "दो लाल वृत्त",
        "एक स्लेटी छल्ला",
        "दो हरे दिल",
        "तीन पीले वृत्त",
        "चार लाल तारे",
        "तीन नीले वर्ग",
        "चार हरे छल्ले",
        "तीन लाल दिल",
        "चार स्लेटी समचतुर्भुज",
        "तीन काले क्रॉस",
        "चार बैंगनी त्रिभुज",
        "एक नीला समचतुर्भुज",
        "दो काले क्रॉस",
    ],
    "ru": [
        "один красный круг",
        "две жёлтые звезды",
        "один зелёный квадрат",
        "два синих кольца",
        "одно чёрное сердце",
        "два коричневых ромба",
        "один фиолетовый крест",
        "два серых треугольника",
        "одна жёлтая звезда",
        "два красных круга",
        "одно серое кольцо",
        "два зелёных сердца",
        "три жёлтых круга",
        "четыре красные звезды",
        "три синих квадрата",
        "четыре зелёных кольца",
        "три красных сердца",
        "четыре серых ромба",
        "три чёрных креста",
        "четыре фиолетовых треугольника",
        "один синий ромб",
        "два чёрных креста",
    ],
    "th": [
        "วงกลมสีแดงหนึ่งวง",
        "ดาวสีเหลืองสองดวง",
        "สี่เหลี่ยมจัตุรัสสีเขียวหนึ่งรูป",
        "วงแหวนสีน้ำเงินสองวง",
        "หัวใจสีดำหนึ่งดวง",
        "สี่เหลี่ยมขนมเปียกปูนสีน้ำตาลสองรูป",
        "กากบาทสีม่วงหนึ่งอัน",
        "สามเหลี่ยมสีเทาสองรูป",
        "ดาวสีเหลืองหนึ่งดวง",
        "วงกลมสีแดงสองวง",
        "วงแหวนสีเทาหนึ่งวง",
        "หัวใจสีเขียวสองดวง",
        "วงกลมสีเหลืองสามวง",
        "ดาวสีแดงสี่ดวง",
        "สี่เหลี่ยมจัตุรัสสีน้ำเงินสามรูป",
        "วงแหวนสีเขียวสี่วง",
        "หัวใจสีแดงสามดวง",
        "สี่เหลี่ยมขนมเปียกปูนสีเทาสี่รูป",
        "กากบาทสีดำสามอัน",
        "สามเหลี่ยมสีม่วงสี่รูป",
        "สี่เหลี่ยมขนมเปียกปูนสีน้ำเงินหนึ่งรูป",
        "กากบาทสีดำสองอัน",
    ],
    "tr": [
        "bir kırmızı daire",
        "iki sarı yıldız",
        "bir yeşil kare",
        "iki mavi halka",
        "bir siyah kalp",
        "iki kahverengi eşkenar dörtgen",
        "bir mor haç",
        "iki gri üçgen",
        "bir sarı yıldız",
        "iki kırmızı daire",
        "bir gri halka",
        "iki yeşil kalp",
        "üç sarı daire",
        "dört kırmızı yıldız",
        "üç mavi kare",
        "dört yeşil halka",
        "üç kırmızı kalp",
        "dört gri eşkenar dörtgen",
        "üç siyah haç",
        "dört mor üçgen",
        "bir mavi eşkenar dörtgen",
        "iki siyah haç",
    ],
    "vi": [
        "một hình tròn màu đỏ",
        "hai hình ngôi sao màu vàng",
        "một hình vuông màu xanh lá cây",
        "hai hình vành khuyên màu xanh dương",
        "một hình trái tim màu đen",
        "hai hình thoi màu nâu",
        "một hình chữ thập màu tím",
        "hai hình tam giác màu xám",
        "một hình ngôi sao màu vàng",
        "hai hình tròn màu đỏ",
        "một hình vành khuyên màu xám",
        "hai hình trái tim màu xanh lá cây",
        "ba hình tròn màu vàng",
        "bốn hình ngôi sao màu đỏ",
        "ba hình vuông màu xanh dương",
        "bốn hình vành khuyên màu xanh lá cây",
        "ba hình trái tim màu đỏ",
        "bốn hình thoi màu xám",
        "ba hình chữ thập màu đen",
        "bốn hình tam giác màu tím",
        "một hình thoi màu xanh dương",
        "hai hình chữ thập màu đen",
    ],
    "zh": [
        "一个红色的圆形",
        "两颗黄色的五角星",
        "一个绿色的正方形",
        "两个蓝色的圆环",
        "一颗黑色的爱心",
        "两个棕色的菱形",
        "一个紫色的十字",
        "两个灰色的三角形",
        "一颗黄色的五角星",
        "两个红色的圆形",
        "一个灰色的圆环",
        "两颗绿色的爱心",
        "三个黄色的圆形",
        "四颗红色的五角星",
        "三个蓝色的正方形",
        "四个绿色的圆环",
        "三颗红色的爱心",
        "四个灰色的菱形",
        "三个黑色的十字",
        "四个紫色的三角形",
        "一个蓝色的菱形",
        "两个黑色的十字",
    ],
}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4}
EVERY = [Combination(*choice) for choice in product(SHAPES, COLOURS, COUNTS)]


def meant(english: str) -> Combination:
    number, colour, noun = english.split()
    return Combination(next(shape for shape in SHAPES if noun.startswith(shape)), colour, NUMBERS[number])


@pytest.mark.parametrize("language", EXPECTED)
def test_captions_are_as_a_speaker_would_say(language: str) -> None:
    made = [captions(meant(english))[language] for english in ENGLISH]
    assert made == EXPECTED[language]


def test_there_are_eleven_languages() -> None:
    assert list(GRAMMARS) == sorted(EXPECTED)


def test_what_is_written_out_has_every_noun_twice_and_every_colour() -> None:
    shown = [meant(english) for english in ENGLISH]
    assert {(each.shape, each.count > 2) for each in shown} == set(product(SHAPES, (False, True)))
    assert {each.colour for each in shown} == set(COLOURS)


@pytest.mark.parametrize("language", GRAMMARS)
def test_no_two_combinations_have_one_caption(language: str) -> None:
    texts = [captions(each)[language] for each in EVERY]
    assert len(set(texts)) == len(EVERY)
    for text in texts:
        assert text == " ".join(text.split())
        assert not set(text) & set(punctuation)


@pytest.mark.parametrize("language", GRAMMARS)
def test_every_noun_and_colour_has_its_forms(language: str) -> None:
    grammar = GRAMMARS[language]
    assert tuple(grammar.shapes) == SHAPES
    assert tuple(grammar.colours) == COLOURS
    forms = max(grammar.forms) + 1
    assert len(grammar.orders) == forms
    for kind, *nouns in grammar.shapes.values():
        assert len(nouns) == forms
        assert len(grammar.numerals[kind]) == len(COUNTS)
    # Colours have one word, or all that their language tells apart; none of these is one that no noun asks for.
    asked = {place for kind, *_ in grammar.shapes.values() for place in grammar.agreement.get(kind, (0,))}
    lengths = Counter(len(words) for words in grammar.colours.values())
    assert set(lengths) <= {1, max(asked) + 1}
    assert asked == set(range(max(lengths)))


def test_languages_do_not_share_captions() -> None:
    assert len({text for each in EVERY for text in captions(each).values()}) == len(GRAMMARS) * len(EVERY)
