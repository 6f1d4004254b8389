"""Pages as a browser lays them out: Chromium shows them in frames and measures these."""

import html
import json
import re
import shutil
import subprocess

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
PAPER = 718
"""Pixels between the margins of an A4 page, of one centimetre each."""

VIEWS = {"narrow": (400, False), "wide": (1200, False), "printed": (PAPER, True)}
"""By name, the width of a view in pixels, and whether it is for a printer."""

MEASURE = """
const views = {};
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument;
  const all = what => [...page.querySelectorAll(what)];
  const width = frame.contentWindow.innerWidth;
  const scrolls = frame.name === "printed" ? "none" : ".scroll, pre";
  const outside = all("body *").filter(each => {
    const box = each.getBoundingClientRect();
    const hidden = each.parentElement.closest(`${scrolls}, svg, details:not([open])`);
    return !hidden && box.width > 0 && box.right > width + 1;
  });
  const sections = all("main section");
  const texts = all("svg[role=img] text");
  views[frame.name] = {
    width: width,
    page: page.documentElement.scrollWidth,
    outside: outside.map(each => each.outerHTML.slice(0, 120)),
    scripts: all("script, iframe, object, embed, link").length,
    requests: frame.contentWindow.performance.getEntriesByType("resource")
      .map(each => each.name).filter(name => !name.startsWith("data:")),
    sections: sections.map(each => each.id),
    empty: sections.filter(each => {
      const body = each.innerText.replace(each.querySelector("h2").innerText, "").trim();
      return body.length < 20 && !each.querySelector("img, svg");
    }).map(each => each.id),
    hollow: all("table").filter(each => !each.querySelector("tbody tr")).length,
    mute: all("img, svg").filter(each => !(each.getAttribute("alt")
      || each.getAttribute("aria-label") || each.getAttribute("aria-hidden"))).length,
    images: all("img").length,
    broken: all("img").filter(each => !each.naturalWidth).length,
    charts: all("svg[role=img]").length,
    hovers: all("svg .spot title").map(each => each.textContent),
    letters: Math.min(...texts.map(each => 11 * each.getScreenCTM().a)),
    cells: Math.min(...all("td").map(each =>
      parseFloat(frame.contentWindow.getComputedStyle(each).fontSize))),
  };
}
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify(views);
document.body.replaceChildren(result);
"""


def views_of(page, folder):
    """What a browser makes of a page, by view.

    Args:
        page: The HTML file.
        folder: Where the page that measures is written.
    """
    text = page.read_text(encoding="utf-8")
    assert "@media print" in text
    frames = []
    for name, (width, printed) in VIEWS.items():
        shown = text.replace("@media print", "@media all") if printed else text
        size = f"width:{width}px;height:900px;border:0"
        content = html.escape(shown)
        frames.append(f'<iframe name="{name}" style="{size}" srcdoc="{content}"></iframe>')
    wrapper = folder / "measured.html"
    script = f"<script>onload = () => {{{MEASURE}}};</script>"
    head = '<!DOCTYPE html><html><head><meta charset="utf-8"></head>'
    body = f"<body>{''.join(frames)}{script}</body></html>"
    wrapper.write_text(head + body, encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1300,900",
        "--dump-dom",
        wrapper.as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=400, check=True).stdout
    return json.loads(html.unescape(re.search(r'<pre id="result">(.*?)</pre>', shown, re.S)[1]))
