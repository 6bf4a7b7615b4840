"""What generated results are made of: concepts of the table of terms, and texts."""

from __future__ import annotations

from collections.abc import Callable

from schemas.terminology import terms
from schemas.values import Characteristic, Code, Measurement
from tests.consumers.ellipsoids import Ellipsoid


def term(scheme: str, value: str) -> Code:
    """Concept of the table."""
    return terms()[scheme, value].code


BRAIN = term("SCT", "12738006")
MILLILITRE = term("UCUM", "mL")
MILLIMETRE = term("UCUM", "mm")

#: Finding type and concept.
FINDINGS = (
    ("brain-volume", BRAIN),
    ("intracranial-hemorrhage", term("SCT", "1386000")),
    ("subdural-hemorrhage", term("SCT", "35486000")),
    ("infarct", term("SCT", "432504007")),
    ("mass", term("SCT", "4147007")),
    ("cyst", term("SCT", "367643001")),
    ("aneurysm", term("SCT", "85659009")),
    ("nodule", term("SCT", "27925004")),
)
SITES = tuple(term("SCT", value) for value in ("12738006", "113305005", "42695009", "66720007", "372073000"))
CHARACTERISTICS = (
    Characteristic(term("SCT", "300842002"), term("SCT", "42700002")),
    Characteristic(term("DCM", "111037"), term("SCT", "129742005")),
    Characteristic(term("SCT", "246112005"), term("SCT", "6736007")),
    Characteristic(term("RADLEX", "RID6049"), term("RADLEX", "RID35805")),
    Characteristic(term("DCM", "111009"), term("SCT", "237897009")),
    Characteristic(Code("T-1", "99EXAMPLE", "Текстура"), Code("T-2", "99EXAMPLE", "Зерниста, з ґратками")),
)

#: Shape of an ellipsoid → a number about it.
MEASURES: tuple[Callable[[Ellipsoid], Measurement], ...] = (
    lambda body: Measurement(
        term("SCT", "118565006"), round(body.volume_ml(), 3), MILLILITRE, term("DCM", "126030")
    ),
    lambda body: Measurement(term("SCT", "103339001"), round(2 * max(body.half[1:]) * 0.859375, 2), MILLIMETRE),
    lambda body: Measurement(term("SCT", "103340004"), round(2 * min(body.half[1:]) * 0.859375, 2), MILLIMETRE),
    lambda body: Measurement(term("DCM", "112031"), -12.5, term("UCUM", "[hnsf'U]"), term("SCT", "373098007")),
    lambda body: Measurement(term("DCM", "112031"), 1.25e-05 * body.half[0], term("UCUM", "1")),
)
QUALITY = (
    Measurement(term("DCM", "111787"), 17.25, term("UCUM", "1")),
    Measurement(term("DCM", "111029"), 80.0, term("UCUM", "%")),
)
#: Quantity, unit and scale of a heatmap.
HEATMAPS = (
    (term("DCM", "122157"), term("UCUM", "1"), 0.5),
    (term("DCM", "113041"), term("UCUM", "mm2/s"), 0.0012),
)

MODELS = ("brain-mr", "mri-brain-segmentation", "МРТ-мозок «Ґердан»")
LONG = "Дуже довге обмеження, яке ніхто не скоротив, бо кожне слово в ньому важливе. " * 20
LIMITATIONS = ("Лише для досліджень; не є медичним виробом.", LONG.strip())
WARNINGS = (
    "slice spacing 7.0 mm is outside the model's 0.8 to 2.0 mm",
    "Товщина зрізу 5,0 мм; ґратка артефактів від руху 🧠",
    "two | of ^ the ~ HL7 & delimiters \\ in a text",
)
QUALITY_WARNINGS = ("motion artefacts in 3 of 20 images", "Зображення нечіткі: рух пацієнта")
DOMAIN_WARNINGS = ("not T1-weighted", "Поза межами: товщина зрізу")

NASTY = (
    "Ґедзь, Єва, Їжак, Іван: ґрати, єство, їжа",
    "🧠🩻 head of 👩‍⚕️ and 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "x" * 65,
    "ї" * 1100,
    "a line\r\nanother line\na third\rand a fourth",
    "a tab\tand a form feed\x0c and a bell\x07 and an escape\x1b[31m",
    "|^~\\& \\F\\ \\S\\ \\T\\ \\.br\\ MSH|^~\\&|",
    "<script>alert('x')</script> &amp; <b>\"quoted\"</b> ]]>",
    "back\\slash=equals^caret\\\\",
    "{placeholder} {0} %s %(name)s $HOME `id`",
    "   spaces around   ",
    "e\u0301 combining, \u202eright to left\u202c, zero\u200bwidth, nb\u00a0space",
    "\x0b\x1c\r start and end of an MLLP block",
    "'; DROP TABLE results; --",
    "null byte \x00 within",
)
