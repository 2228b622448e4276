"""The small steps that the platforms' rules are made of. Pure; "" means that nothing usable is left."""

import re
from datetime import date
from typing import Final

_EMAIL: Final = re.compile(r".+@.+\..+")
_SPACE: Final = re.compile(r"\s")
_PUNCTUATION: Final = re.compile(r"[^\w\s]|_")
_NOT_WORD: Final = re.compile(r"[\W_]+")
_NOT_LETTER: Final = re.compile(r"[\W\d_]+")
_NOT_DIGIT: Final = re.compile(r"[^0-9]+")
_NOT_ASCII_LETTER: Final = re.compile(r"[^a-zA-Z]+")
_META_PLACE: Final = re.compile(r"[0-9.\s\-()]")
_META_PHONE_NOISE: Final = re.compile(r"[\s\-()]")
_META_PHONE_START: Final = re.compile(r"\+?0{0,2}")
_META_PHONE: Final = re.compile(r"[0-9]{1,4}\(?[0-9]{2,3}\)?[0-9]{4,}")
_PHONE_NOISE: Final = re.compile(r"[\s\-()./\u00a0]")
E164_DIGITS_MAX: Final = 15
PHONE_DIGITS_MIN: Final = 7
_GENDERS: Final = {"f": "f", "female": "f", "w": "f", "m": "m", "male": "m", "n": "n", "non-binary": "n"}

# ISO 3166-1 alpha-2, officially assigned codes.
_COUNTRIES = (
    "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz "
    "ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk fm fo "
    "fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je "
    "jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo "
    "mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw "
    "py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm "
    "tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
COUNTRIES: Final = frozenset(_COUNTRIES.split())


def trimmed(raw: str) -> str:
    return raw.strip()


def trimmed_lower(raw: str) -> str:
    return raw.strip().lower()


def email(raw: str) -> str:
    """Trimmed, lower case, and something@something.something."""
    plain = raw.strip().lower()
    return plain if _EMAIL.match(plain) else ""


def gmail_folded(raw: str) -> str:
    """Google: no inner white space; dots and +suffix of the local part go for gmail.com and googlemail.com only."""
    plain = email(raw)
    if not plain or _SPACE.search(plain):
        return ""
    local, _, domain = plain.rpartition("@")
    if domain in ("gmail.com", "googlemail.com"):
        local = local.partition("+")[0].replace(".", "")
    return f"{local}@{domain}" if local else ""


def international(raw: str) -> str:
    """The digits of a phone number with its country code: after "+" or "00", or, where neither stands there and it does
    not begin with 0, all of them (the country code is then taken to be there: `lint` warns). "" for a national number.
    """
    plain = _PHONE_NOISE.sub("", raw)
    digits = plain.removeprefix("+")
    if digits is plain or digits == plain:
        digits = plain.removeprefix("00")
    fits = PHONE_DIGITS_MIN <= len(digits) <= E164_DIGITS_MAX
    return digits if fits and digits.isascii() and digits.isdigit() and digits[0] != "0" else ""


def e164(raw: str) -> str:
    """ "+" and the digits."""
    digits = international(raw)
    return f"+{digits}" if digits else ""


def snap_phone(raw: str) -> str:
    """Snapchat: non-digits go, then a leading 00, then one leading 0."""
    digits = _NOT_DIGIT.sub("", raw).removeprefix("00").removeprefix("0")
    return digits if len(digits) >= PHONE_DIGITS_MIN else ""


def pinterest_phone(raw: str) -> str:
    """Pinterest: digits only, no leading zeros."""
    digits = _NOT_DIGIT.sub("", raw).lstrip("0")
    return digits if len(digits) >= PHONE_DIGITS_MIN else ""


def meta_phone(raw: str) -> str:
    """Meta's Conversions API SDK: white space, "-", "(" and ")" go, then a leading "+" and up to two 0. A number that
    still begins with 0, has a dot or fewer than seven digits is refused."""
    plain = _META_PHONE_NOISE.sub("", raw.lower().strip())
    digits = _META_PHONE_START.sub("", plain, count=1)
    if digits.startswith("0"):
        return ""
    return digits if _META_PHONE.fullmatch(digits) else ""


def meta_cell(raw: str) -> str:
    """The first step of every cell of a custom audience: white space and dots go at both ends."""
    return raw.strip(" \t\r\n\0\x0b.").lower()


def meta_cell_email(raw: str) -> str:
    plain = meta_cell(raw)
    return plain if _EMAIL.match(plain) else ""


def meta_cell_phone(raw: str) -> str:
    """Digits only. The SDK keeps the 00 of a number that was dialled so; a number with it matches nobody."""
    digits = _NOT_DIGIT.sub("", meta_cell(raw)).removeprefix("00")
    return digits if len(digits) >= PHONE_DIGITS_MIN and digits[0] != "0" else ""


def meta_cell_letters(raw: str) -> str:
    """The SDK keeps a to z only, so that accents are lost; what Meta makes of its own members' names is not published,
    and this is what its own client sends."""
    return _NOT_ASCII_LETTER.sub("", meta_cell(raw))


def meta_cell_zip(raw: str) -> str:
    return meta_cell(raw).partition("-")[0].strip()


def meta_place(raw: str) -> str:
    """City and state of a server event: digits, white space, ".", "-", "(" and ")" go."""
    return _META_PLACE.sub("", raw.lower().strip())


def meta_zip(raw: str) -> str:
    return _SPACE.sub("", raw.lower()).partition("-")[0]


def country(raw: str) -> str:
    """An assigned ISO 3166-1 alpha-2 code in lower case."""
    plain = _NOT_ASCII_LETTER.sub("", raw.lower())
    return plain if plain in COUNTRIES else ""


def country_upper(raw: str) -> str:
    return country(raw).upper()


def without_punctuation(raw: str) -> str:
    """Lower case, punctuation goes, letters of all scripts and inner spaces stay."""
    return _PUNCTUATION.sub("", raw.lower()).strip()


def joined(raw: str) -> str:
    """Lower case, letters and digits of all scripts only."""
    return _NOT_WORD.sub("", raw.lower())


def letters(raw: str) -> str:
    """Lower case, letters of all scripts only."""
    return _NOT_LETTER.sub("", raw.lower())


def two_letters(raw: str) -> str:
    """A region's two-letter code in lower case; a name written out is no code."""
    plain = raw.strip().lower()
    return plain if len(plain) == 2 and plain.isascii() and plain.isalpha() else ""


def digits_only(raw: str) -> str:
    return _NOT_DIGIT.sub("", raw)


def gender(raw: str) -> str:
    """f or m."""
    found = _GENDERS.get(raw.strip().lower(), "")
    return "" if found == "n" else found


def gender_or_neither(raw: str) -> str:
    """f, m, or n for non-binary."""
    return _GENDERS.get(raw.strip().lower(), "")


def birth_date(raw: str) -> str:
    """YYYYMMDD of a day that exists."""
    digits = raw.strip().replace("-", "")
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return ""
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return ""
    return digits


def handle(raw: str) -> str:
    """An account name at X."""
    return raw.strip().removeprefix("@").lower()
