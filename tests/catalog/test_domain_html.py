import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrin.catalog.domain import html_to_text
from vitrin.catalog.domain.html_text import looks_like_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a &amp; b &lt; c &euro; &#8364; &nbsp;d", "a & b < c € € d"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("<p>One</p>\n\n<p>Two</p>\n", "One\n\nTwo"),
        ("One<br>Two<br/>Three<br><br><br>Four", "One\nTwo\nThree\n\nFour"),
        ("<ul>\n <li>a</li>\n <li>b</li>\n</ul>after", "- a\n- b\n\nafter"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<ul><li></li><li><p>a</p></li></ul>", "- a"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("a<script>if (a < b) { x('<p>') }</script>b", "ab"),
        ("a<style>p { color: red }</style>b<!-- no -->c", "abc"),
        ("a<svg><svg></svg>x</svg>b", "ab"),
        ("a<script>never closed", "a"),
        ("x < y and <b>bold</b> R&D", "x < y and bold R&D"),
        ("a\n  b\t c\u00a0d", "a b c d"),
        ("<h3>Head</h3>Text <span>in</span>line", "Head\n\nText inline"),
        ("<b>half", "half"),
    ],
)
def test_what_a_browser_shows_stays(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.parametrize(
    ("text", "is_html"),
    [
        ("<p>x", True),
        ("a<br/>b", True),
        ('<SPAN class="x">', True),
        ("1 < 2 > 0", False),
        ("R&amp;D", False),
        ("<3", False),
        ("<not a tag>", False),
    ],
)
def test_only_tags_make_html(text: str, is_html: bool) -> None:
    assert looks_like_html(text) is is_html


@given(st.text(st.sampled_from("<>/pbrli!-&;#x &\n\"'=a"), max_size=60))
def test_any_broken_html_has_a_text(html: str) -> None:
    text = html_to_text(html)
    assert text == text.strip()
    assert "\n\n\n" not in text
