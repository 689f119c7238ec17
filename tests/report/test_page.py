from mimic.report.page import (
    Card,
    Cell,
    Check,
    Figure,
    Gallery,
    Highlight,
    Page,
    Picture,
    PictureGroup,
    PictureRow,
    Row,
    Section,
    Table,
    render,
)


def _page(**changes) -> Page:
    settings = {
        "title": "a title",
        "verdict": "a verdict",
        "tone": "neutral",
        "lead": "a lead",
        "sections": (),
        "provenance": {"Seed": "3"},
        "command": "mimic demo",
    }
    return Page(**(settings | changes))


def test_a_page_without_sections_has_verdict_and_provenance():
    html = render(_page())
    assert '<h1 class="neutral">a verdict</h1>' in html
    assert "<dt>Seed</dt><dd>3</dd>" in html


def test_text_is_escaped():
    html = render(_page(lead="<b>&"))
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html


def test_drawings_go_in_as_they_are():
    section = Section(heading="h", figures=(Figure(svg="<svg></svg>", caption="c"),))
    assert "<figure><svg></svg><figcaption>c</figcaption></figure>" in render(
        _page(sections=(section,))
    )


def test_a_rule_that_does_not_hold_is_told_by_a_word_and_not_by_colour_alone():
    section = Section(heading="h", checks=(Check(text="rule", passed=False),))
    assert "<strong>No:</strong> rule" in render(_page(sections=(section,)))


def test_rows_of_a_table_are_headed_by_their_names():
    table = Table(
        caption="numbers",
        columns=("name", "value"),
        rows=(Row(name="x", cells=(Cell(value="1", note="0 to 2"),), marked=True),),
    )
    html = render(_page(sections=(Section(heading="h", table=table),)))
    assert '<tr class="marked">\n<th scope="row">x</th>\n<td>1<small>0 to 2</small></td>' in html


def test_what_is_empty_is_not_shown():
    html = render(_page(sections=(Section(heading="h", paragraphs=("only this",)),)))
    body = html.partition("</style>")[2]
    assert all(tag not in body for tag in ("<table", "<ul", 'class="figures"', 'class="pictures"'))


def test_a_heading_names_its_section_for_screen_readers():
    html = render(_page(sections=(Section(heading="h"),)))
    assert '<section aria-labelledby="section-1">\n<h2 id="section-1">h</h2>' in html


def test_drawings_use_the_font_of_the_page():
    assert ".figures svg text { font-family: var(--font) !important; }" in render(_page())


PICTURE = Picture(source="data:image/png;base64,AA==", alt="what <it> shows")


def test_highlights_stand_before_the_sections():
    shown = Highlight(label="a label", value="7", note="a note", tone="bad")
    html = render(_page(highlights=(shown,), sections=(Section(heading="h"),)))
    assert '<div class="bad"><dt>a label</dt><dd><strong>7</strong><small>a note' in html
    assert html.index("a label") < html.index("<h2")


def test_many_sections_get_a_list_of_contents():
    sections = tuple(Section(heading=f"part {number}") for number in range(3))
    assert '<li><a href="#section-3">part 2</a></li>' in render(_page(sections=sections))
    assert "<nav" not in render(_page(sections=sections[:2]))


def test_a_card_shows_its_pictures_with_words():
    section = Section(heading="h", cards=(Card(heading="c", text="t", pictures=(PICTURE,)),))
    html = render(_page(sections=(section,)))
    assert 'alt="what &lt;it&gt; shows"><figcaption></figcaption>' in html


def test_the_image_of_a_group_spans_its_rows():
    rows = tuple(PictureRow(name=name, pictures=(PICTURE,)) for name in ("a", "b"))
    group = PictureGroup(lead=PICTURE, rows=rows)
    gallery = Gallery(caption="c", lead="image", columns=("1",), groups=(group,))
    html = render(_page(sections=(Section(heading="h", gallery=gallery),)))
    assert html.count('<td class="lead-picture" rowspan="2">') == 1
    assert html.count('<th scope="row">') == 2
