"""An sdist as PyPI serves it, but small: an archive in an archive."""

import io
import tarfile

SNIPPETS = (
    '1_1\t-0.9\tno picture, and "scrolling" b/w.\r\n'
    "1_2\t-0.5\tread the manual first.\r\n"
    "1_3\t0.5\tit is a player.\r\n"
    "2_1\t0.55\tworks, really\r\n"
    "2_2\t-3.1\t$ 300\r\n"
    "\r\n"
    "10_1\t2.8\tgreat picture\r\n"
)


def archive(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def sdist(snippets: str = SNIPPETS) -> bytes:
    inner = archive({"hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt": snippets.encode()})
    return archive({"vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": inner})
