from mimic.report.page import Cell, Check, Figure, Page, Row, Section, Table, render


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
