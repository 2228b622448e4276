"""What a shopper reads of a cart that cannot go on as it is, in the channel's language, else in English. Pure."""

from collections.abc import Mapping
from typing import Final

from vitrin.shop_sync.domain.checkout import QUANTITY_MAX, Trouble

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Your cart",
        "partly": "Not everything in your cart can be bought as you chose it:",
        "nothing": "Nothing in your cart can be bought right now:",
        "go_on": "Go on with the rest",
        "to_shop": "To the shop",
        "closed": "This cart cannot be taken over to the shop right now.",
        "crowded": "Many shoppers are here at this moment. Please try again.",
        "item_unknown": "{subject}: the shop no longer has this product.",
        "item_gone": "{title}: the shop no longer has this product.",
        "item_not_in_shop": "{title}: this product cannot be bought online.",
        "sold_out": "{title}: sold out.",
        "only_some_left": "{title}: only {left} left.",
        "quantity_limited": "{title}: no more than {most} at once.",
        "not_a_line": "{subject}: this could not be read.",
        "too_many_lines": "{subject}: the cart is too large.",
        "coupon_unknown": "The code {subject} is not valid.",
        "coupon_not_yet": "The code {subject} is not valid yet.",
        "coupon_ended": "The code {subject} is no longer valid.",
        "coupon_malformed": "The code could not be read.",
    },
    "de": {
        "title": "Dein Warenkorb",
        "partly": "Nicht alles in deinem Warenkorb ist so zu haben, wie du es gewählt hast:",
        "nothing": "Nichts in deinem Warenkorb ist gerade zu haben:",
        "go_on": "Mit dem Rest weiter",
        "to_shop": "Zum Shop",
        "closed": "Dieser Warenkorb lässt sich gerade nicht in den Shop mitnehmen.",
        "crowded": "Gerade ist viel los. Bitte versuche es noch einmal.",
        "item_unknown": "{subject}: Dieses Produkt gibt es im Shop nicht mehr.",
        "item_gone": "{title}: Dieses Produkt gibt es im Shop nicht mehr.",
        "item_not_in_shop": "{title}: Dieses Produkt gibt es nicht online.",
        "sold_out": "{title}: ausverkauft.",
        "only_some_left": "{title}: nur noch {left} da.",
        "quantity_limited": "{title}: höchstens {most} auf einmal.",
        "not_a_line": "{subject}: Das war nicht zu lesen.",
        "too_many_lines": "{subject}: Der Warenkorb ist zu groß.",
        "coupon_unknown": "Der Code {subject} gilt nicht.",
        "coupon_not_yet": "Der Code {subject} gilt noch nicht.",
        "coupon_ended": "Der Code {subject} gilt nicht mehr.",
        "coupon_malformed": "Der Code war nicht zu lesen.",
    },
    "fr": {
        "title": "Votre panier",
        "partly": "Certains articles ne sont pas disponibles comme vous les avez choisis :",
        "nothing": "Rien dans votre panier n'est disponible pour le moment :",
        "go_on": "Continuer avec le reste",
        "to_shop": "Vers la boutique",
        "closed": "Ce panier ne peut pas être repris en boutique pour le moment.",
        "crowded": "Il y a beaucoup de monde en ce moment. Veuillez réessayer.",
        "item_unknown": "{subject} : ce produit n'est plus en boutique.",
        "item_gone": "{title} : ce produit n'est plus en boutique.",
        "item_not_in_shop": "{title} : ce produit n'est pas vendu en ligne.",
        "sold_out": "{title} : épuisé.",
        "only_some_left": "{title} : il n'en reste que {left}.",
        "quantity_limited": "{title} : pas plus de {most} à la fois.",
        "not_a_line": "{subject} : illisible.",
        "too_many_lines": "{subject} : le panier est trop grand.",
        "coupon_unknown": "Le code {subject} n'est pas valable.",
        "coupon_not_yet": "Le code {subject} n'est pas encore valable.",
        "coupon_ended": "Le code {subject} n'est plus valable.",
        "coupon_malformed": "Le code est illisible.",
    },
    "es": {
        "title": "Tu cesta",
        "partly": "No todo lo que hay en tu cesta está disponible como lo elegiste:",
        "nothing": "Nada de tu cesta está disponible ahora:",
        "go_on": "Seguir con el resto",
        "to_shop": "A la tienda",
        "closed": "Esta cesta no se puede llevar a la tienda en este momento.",
        "crowded": "Hay mucha gente en este momento. Inténtalo de nuevo.",
        "item_unknown": "{subject}: la tienda ya no tiene este producto.",
        "item_gone": "{title}: la tienda ya no tiene este producto.",
        "item_not_in_shop": "{title}: este producto no se vende en línea.",
        "sold_out": "{title}: agotado.",
        "only_some_left": "{title}: solo quedan {left}.",
        "quantity_limited": "{title}: no más de {most} a la vez.",
        "not_a_line": "{subject}: no se pudo leer.",
        "too_many_lines": "{subject}: la cesta es demasiado grande.",
        "coupon_unknown": "El código {subject} no es válido.",
        "coupon_not_yet": "El código {subject} aún no es válido.",
        "coupon_ended": "El código {subject} ya no es válido.",
        "coupon_malformed": "No se pudo leer el código.",
    },
    "tr": {
        "title": "Sepetin",
        "partly": "Sepetindeki her şey seçtiğin gibi alınamıyor:",
        "nothing": "Sepetindeki hiçbir şey şu anda alınamıyor:",
        "go_on": "Kalanlarla devam et",
        "to_shop": "Mağazaya git",
        "closed": "Bu sepet şu anda mağazaya aktarılamıyor.",
        "crowded": "Şu anda çok yoğunuz. Lütfen tekrar dene.",
        "item_unknown": "{subject}: bu ürün artık mağazada yok.",
        "item_gone": "{title}: bu ürün artık mağazada yok.",
        "item_not_in_shop": "{title}: bu ürün çevrimiçi satılmıyor.",
        "sold_out": "{title}: tükendi.",
        "only_some_left": "{title}: yalnızca {left} kaldı.",
        "quantity_limited": "{title}: bir seferde en fazla {most}.",
        "not_a_line": "{subject}: okunamadı.",
        "too_many_lines": "{subject}: sepet çok büyük.",
        "coupon_unknown": "{subject} kodu geçerli değil.",
        "coupon_not_yet": "{subject} kodu henüz geçerli değil.",
        "coupon_ended": "{subject} kodu artık geçerli değil.",
        "coupon_malformed": "Kod okunamadı.",
    },
}
LANGUAGES: Final = frozenset(_WORDS)
LANGUAGE: Final = "en"


def words_in(language: str) -> Mapping[str, str]:
    """`language`: BCP 47; only its first part counts."""
    return _WORDS.get(language.partition("-")[0].lower(), _WORDS[LANGUAGE])


def told(trouble: Trouble, language: str) -> str:
    title = trouble.title or trouble.subject
    return words_in(language)[trouble.code].format(
        subject=trouble.subject, title=title, left=trouble.left, most=QUANTITY_MAX
    )
