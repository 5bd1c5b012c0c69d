"""What a browser would make of a page: what it loads, where its links lead, what a reader reads."""

from html.parser import HTMLParser


class Reader(HTMLParser):
    """A page as read: its tags, addresses, anchors and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.ids, self._texts = [], [], [], []
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self._in_style = tag == "style"
        self.addresses += [attributes[key] for key in ("src", "href") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_endtag(self, tag):
        self._in_style = False

    def handle_data(self, data):
        if not self._in_style:
            self._texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._texts).split())


def assert_self_contained(html: str) -> Reader:
    """A page loads nothing, and its links lead into itself or to pages beside it."""
    page = Reader(html)
    allowed = ("data:image/png;base64,", "data:image/webp;base64,", "#", "../")
    for address in page.addresses:
        assert address.startswith(allowed), address[:80]
    for loaded in ("http://", "https://", "url(", "@import"):
        assert loaded not in html
    assert not {"script", "link", "iframe", "pre", "textarea"} & set(page.tags)  # nor code cells
    assert "jp-" not in html.replace("base64", "")[:20_000]
    assert {address[1:] for address in page.addresses if address[0] == "#"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    return page
