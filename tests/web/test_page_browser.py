"""The pages in a real browser: of a running daemon that follows the simulated wiki, on a phone and on a desktop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.live.daemon import Daemon
from tests.live.world import a_day, serve
from tests.observe.clock import THRESHOLDS, Clock
from tests.statements import run
from tools.screenshots import ARGUMENTS, CHROMIUM
from wikimirror.mirror.embedded import EmbeddedPostgres
from wikimirror.model import Lane
from wikimirror.observe.backlog import Backlog
from wikimirror.observe.telemetry import Telemetry
from wikimirror.web import AdminServer

TOKEN = "correct horse battery staple"  # it opens nothing
DEADLINE = 30_000
"""Milliseconds, as Playwright counts."""
DATABASE = "test_page_browser"
PHONE, DESKTOP = (360, 740), (1280, 900)
HOSTILE = '<script>alert(1)</script>"><img src=//example.org/x onerror=alert(2)>'
LONG = "a" * 63

CONTRASTS = """() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return {rgb: n.slice(0, 3), alpha: n[3] ?? 1} }
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4
  const luminance = rgb => { const [r, g, b] = rgb.map(linear); return .2126 * r + .7152 * g + .0722 * b }
  const over = (top, under) => top.rgb.map((v, i) => v * top.alpha + under[i] * (1 - top.alpha))
  const behind = element => {
    const colours = []
    for (let at = element; at; at = at.parentElement) colours.unshift(parse(getComputedStyle(at).backgroundColor))
    return colours.reduce((under, top) => over(top, under), [255, 255, 255])
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = []
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement, style = getComputedStyle(element)
    if (!node.data.trim() || style.display === "none") continue
    const back = behind(element), front = over(parse(style.color), back)
    const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a)
    found.push({text: node.data.trim(), ratio: (light + .05) / (dark + .05), size: parseFloat(style.fontSize)})
  }
  return found
}"""
"""Each text node: the WCAG 2 contrast of its colour with what is painted behind it, and its size in CSS pixels."""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def chromium(require_part: Callable[[str, bool, str], None]) -> str:
    found = os.access(CHROMIUM, os.X_OK)
    require_part("chromium", found, "Debian's package chromium, or another Chromium that $CHROMIUM names")
    return CHROMIUM


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon_url(
    chromium: str, postgres_server: EmbeddedPostgres, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """Where a daemon serves that follows the simulated wiki, which publishes all the while: nobody changes anything."""
    assert chromium
    await run(postgres_server.dsn(), f"CREATE DATABASE {DATABASE} TEMPLATE {_template} STRATEGY file_copy")
    directory = tmp_path_factory.mktemp("followed")
    async with serve(a_day(3, 4_000), postgres_server.dsn(DATABASE), directory) as world:
        world.publish(rate=20)
        config = world.config(admin={"listen": "127.0.0.1:0", "token": TOKEN})
        async with Daemon(config) as daemon:
            await daemon.line("durable")
            yield daemon.lines("probes and metrics")[0]["url"]
    await run(postgres_server.dsn(), f"DROP DATABASE {DATABASE} WITH (FORCE)")


@asynccontextmanager
async def looking(
    browser: Browser,
    url: str,
    size: tuple[int, int] = PHONE,
    scheme: Literal["dark", "light"] = "light",
    password: str | None = None,
) -> AsyncIterator[Page]:
    """A page; it fails where a script ran, something was blocked, or another host was asked."""
    asked, complaints = [], []
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        base_url=url,
        http_credentials=None if password is None else {"username": "anybody", "password": password},
    )
    async with AsyncExitStack() as opened:
        opened.push_async_callback(context.close)
        page = await context.new_page()
        page.set_default_timeout(DEADLINE)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        yield page
    assert {urlsplit(each).netloc for each in asked if not each.startswith("data:")} <= {urlsplit(url).netloc}
    assert not [each for each in complaints if "401" not in each and "404" not in each]


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_it_can_be_read_without_scrolling_sideways_in_either_scheme(
    browser: Browser, daemon_url: str, size: tuple[int, int], scheme: Literal["dark", "light"]
) -> None:
    backgrounds = set()
    for path, password in (("/?live=off", None), ("/details?live=off", TOKEN), ("/details", "wrong")):
        async with looking(browser, daemon_url, size, scheme, password) as page:
            await page.goto(path)
            assert await page.evaluate(OVERFLOW) <= 0
            texts = await page.evaluate(CONTRASTS)
            assert len(texts) > 5
            assert [text for text in texts if text["ratio"] < 4.5 or text["size"] < 16] == []
            backgrounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 1
    assert ("244" in backgrounds.pop()) is (scheme == "light")


async def test_what_matters_is_seen_without_scrolling_on_a_phone(browser: Browser, daemon_url: str) -> None:
    async with looking(browser, daemon_url) as page:
        await page.goto("/?live=off")
        for seen in (page.locator("h1"), page.locator("article h3").first, page.get_by_text("behind the source").first):
            box = await seen.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= PHONE[1]


async def test_it_refreshes_itself_and_shows_a_newer_number(browser: Browser, daemon_url: str) -> None:
    async with looking(browser, daemon_url) as page:
        await page.goto("/")
        await expect(page.locator("h1")).to_be_visible()
        before = await read_count(page)
        async with page.expect_navigation(timeout=DEADLINE):
            pass
        assert await read_count(page) > before


async def read_count(page: Page) -> int:
    told = await page.locator("dl.numbers > div", has=page.get_by_text("read", exact=True)).locator("dd").inner_text()
    return int(told.replace(",", ""))


async def test_the_keyboard_reaches_every_link_and_shows_where_it_is(browser: Browser, daemon_url: str) -> None:
    async with looking(browser, daemon_url) as page:
        await page.goto("/?live=off")
        wanted = await page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
        reached = []
        for _ in wanted:
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.getAttribute('href')"))
            assert await page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
            box = await page.locator(":focus").bounding_box()
            assert box is not None
            assert box["x"] >= 0
        assert reached == wanted
        assert reached[0] == "#main"


async def test_links_are_large_enough_for_a_thumb(browser: Browser, daemon_url: str) -> None:
    async with looking(browser, daemon_url) as page:
        await page.goto("/?live=off")
        sizes = await page.eval_on_selector_all(
            "nav a, .top a", "links => links.map(a => [a.textContent, a.getBoundingClientRect().height])"
        )
        assert sizes
        assert [each for each in sizes if each[1] < 44] == []


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
async def test_it_has_landmarks_headings_and_tables_at_every_size(
    browser: Browser, daemon_url: str, size: tuple[int, int]
) -> None:
    async with looking(browser, daemon_url, size) as page:
        await page.goto("/")
        # The housekeeper looks at lanes every few seconds, and the page at the housekeeper.
        await page.wait_for_selector("table")
        await page.goto("/?live=off")
        assert await page.locator("html").get_attribute("lang") == "en"
        for role in ("banner", "main", "contentinfo"):
            await expect(page.get_by_role(role)).to_have_count(1)
        await expect(page.get_by_role("heading", level=1)).to_have_count(1)
        await expect(page.get_by_role("navigation", name="Pages")).to_have_count(1)
        table = page.get_by_role("table", name="Of this process")
        await expect(table).to_have_count(1)
        assert await table.get_by_role("columnheader").count() == 7
        assert await table.get_by_role("rowheader").count() >= 1
        cells = table.get_by_role("row").nth(1).get_by_role("cell")
        assert await cells.count() >= 5


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_in_trouble_names_are_shown_as_they_are_said_and_long_ones_fit(
    browser: Browser, scheme: Literal["dark", "light"]
) -> None:
    clock = Clock()
    telemetry = Telemetry(THRESHOLDS, wall=lambda: clock.wall)
    vitals = telemetry.add(clock.active(LONG))
    lanes = [Lane(LONG, HOSTILE, 0), Lane(LONG, "b" * 249, 1)]
    vitals.hold(lanes)
    for lane in lanes:
        vitals.heard(lane, clock.published(200))
    vitals.missing_topics, vitals.topics_found = (HOSTILE, "c" * 249), 1
    vitals.accounts.set_aside["not_json"] = 3
    telemetry.note_backlog(Backlog({"not_json": 2, "sqlstate_22003": 1}, 1, {"vacated": 3}, 1, {LONG: 1}))
    telemetry.sample()
    async with AdminServer("127.0.0.1:0", telemetry, started=lambda: True) as server:
        for size in (PHONE, DESKTOP):
            async with looking(browser, server.url, size, scheme) as page:
                await page.goto("/?live=off")
                assert HOSTILE in await page.locator("main").inner_text()
                assert await page.locator("script, img").count() == 0
                assert await page.evaluate(OVERFLOW) <= 0
                assert await page.locator(".banner.trouble, .watch, .trouble").count() > 5
                texts = await page.evaluate(CONTRASTS)
                assert [text for text in texts if text["ratio"] < 4.5 or text["size"] < 16] == []


async def test_details_want_the_token(browser: Browser, daemon_url: str) -> None:
    async with looking(browser, daemon_url, password="wrong") as page:  # it opens nothing
        answer = await page.goto("/details")
        assert answer is not None
        assert answer.status == 401
    async with looking(browser, daemon_url, password=TOKEN) as page:
        await page.goto("/?live=off")
        await page.get_by_role("link", name="Details").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("What waits, who works, who did what.")
        await expect(page.get_by_role("table", name="Processes")).to_have_count(1)
        await expect(page.get_by_role("table", name="Leases")).to_have_count(1)
