"""Hypothesis strategies: messages as trees, written out as CRLF bytes."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

BOUNDARIES = ["b", "bb", "b b", "=_b", "b=", "--", "b-", "x(y)", "B", "b" * 70, "'+_,./:?"]


@dataclass
class Leaf:
    header: list[str]
    body: bytes
    kind: str


@dataclass
class Multi:
    subtype: str
    boundary: str
    header: list[str]
    children: list
    preamble: bytes = b""
    epilogue: bytes = b""
    padding: str = ""


@dataclass
class Attached:
    subtype: str
    header: list[str]
    message: object = field(repr=False)


lines = st.lists(
    st.sampled_from(
        [
            b"",
            b"text",
            b"--",
            b"-- ",
            b"--bbb",
            b"--b--x",
            b"---",
            b" --b",
            b"Content-Type: text/html",
            b"From: someone",
            "d\u00e9j\u00e0 vu".encode(),
            b".",
            b"x" * 100,
        ]
    ),
    max_size=6,
)
bodies = st.builds(
    lambda some, end: b"\r\n".join(some) + end, lines, st.sampled_from([b"", b"\r\n"])
)
more_header = st.lists(
    st.sampled_from(
        [
            "Subject: hello\r\n world",
            "X-Long: a\r\n\tb\r\n c",
            "Content-ID: <1@x.example>",
            'Content-Description: a "quoted" text',
            'Content-Disposition: attachment; filename="a b.pdf"',
            "Content-Disposition: inline",
            "Content-Transfer-Encoding: base64",
            "Content-Language: fr, en",
            "Received: from x\r\n by y; date",
            'From: "A, B" <a@b.example>, c@d.example',
        ]
    ),
    max_size=3,
    unique_by=lambda line: line.partition(":")[0],
)
leaf_types = st.sampled_from(
    [
        ("", "text/plain"),
        ("Content-Type: text/plain; charset=utf-8", "text/plain"),
        ("content-type:text/html", "text/html"),
        ('Content-Type: application/pdf; name="x;y.pdf"', "application/pdf"),
        ("Content-Type: application/xml;\r\n charset=utf-8;\r\n\tname=cda.xml", "application/xml"),
        ("Content-Type: Image/GIF", "image/gif"),
        ("Content-Type: nonsense", "text/plain"),
        ("Content-Type: ", "text/plain"),
    ]
)


@st.composite
def leaves(draw):
    line, kind = draw(leaf_types)
    return Leaf([line, *draw(more_header)] if line else draw(more_header), draw(bodies), kind)


def _identity(header):
    """What may stand over a multipart or an attached message."""
    return [line for line in header if not line.startswith("Content-Transfer")]


@st.composite
def trees(draw, depth=3, free=tuple(BOUNDARIES)):
    choice = draw(st.integers(0, 5)) if depth else 0
    if choice <= 1:
        return draw(leaves())
    if choice == 2:
        header = _identity(draw(more_header))
        subtype = draw(st.sampled_from(["rfc822", "global"]))
        return Attached(subtype, header, draw(trees(depth=depth - 1, free=free)))
    boundary = draw(st.sampled_from(free))
    rest = tuple(other for other in free if other != boundary)
    children = draw(st.lists(trees(depth=depth - 1, free=rest), min_size=1, max_size=3))
    return Multi(
        draw(st.sampled_from(["mixed", "alternative", "signed", "report"])),
        boundary,
        _identity(draw(more_header)),
        children,
        draw(bodies),
        draw(bodies),
        draw(st.sampled_from(["", " ", "\t "])),
    )


def write(node) -> bytes:
    """The node with its header."""
    if isinstance(node, Leaf):
        header, body = node.header, node.body
    elif isinstance(node, Attached):
        header = [*node.header, f"Content-Type: message/{node.subtype}"]
        body = write(node.message)
    else:
        header = [
            *node.header,
            f'Content-Type: multipart/{node.subtype};\r\n boundary="{node.boundary}"',
        ]
        delimiter = b"--" + node.boundary.encode()
        padding = node.padding.encode()
        pieces = [node.preamble + b"\r\n"] if node.preamble else []
        for child in node.children:
            pieces += [delimiter, padding, b"\r\n", write(child), b"\r\n"]
        pieces += [delimiter, b"--", padding, b"\r\n", node.epilogue]
        body = b"".join(pieces)
    return "".join(f"{line}\r\n" for line in header).encode() + b"\r\n" + body
