"""The explorer in a real browser: its arithmetic, its controls, its accessibility."""

import re

import numpy as np
import pytest

from arlib.figures.explorer import explore
from arlib.method import affective_regions, late_fusion, predict_labels

IMAGE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
LABELS = {"k": "K, regions", "alpha": "alpha of Eq. 2", "beta": "beta of Eq. 3"}


@pytest.fixture
def open_page(browser, tmp_path):
    """Return a function that opens explorers; a request or a message of a page fails its test."""
    contexts, asked, messages = [], [], []

    def opened(*explorers, **settings):
        path = explorers[0].save(tmp_path / "page.html")
        more = "".join(explorer.html for explorer in explorers[1:])
        path.write_text(path.read_text().replace("</main>", f"{more}</main>"))
        contexts.append(
            browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(5000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert messages == []


@pytest.fixture(scope="module")
def scores(make_scores):
    """Forty regions of two emotions, one of them missing."""
    scores = make_scores(1, 40, seed=3, missing=False)
    for name in ("objectness", "box", "region_probability"):
        scores[name].values[0, 7] = np.nan
    scores.global_probability.values[0] = (0.45, 0.55)
    return scores


def calculate(page, **settings):
    """Set the explorer's parameters and return what the page computes."""
    return page.evaluate(
        """settings => {
            const { explorer } = document.querySelector(".arlib-explorer");
            explorer.set(settings);
            return explorer.result;
        }""",
        settings,
    )


def text(page, selector):
    return page.locator(selector).inner_text()


def slide(page, name, value):
    """Move a slider with the keyboard to a value."""
    slider = page.get_by_label(LABELS[name])
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(value):
        page.keyboard.press("ArrowRight")


class TestArithmetic:
    @pytest.mark.parametrize("n_emotions", [2, 3, 8])
    @pytest.mark.parametrize("ties", [False, True])
    def test_it_is_the_librarys(self, open_page, make_scores, n_emotions, ties):
        scores = make_scores(1, 60, n_emotions, seed=n_emotions, missing=False)
        if ties:  # every region five times, and few values of objectness
            copies = np.arange(60) % 12
            scores = scores.isel(region=copies)
            scores["objectness"] = scores.objectness.round(1)
        for name in ("objectness", "box", "region_probability"):
            scores[name].values[0, [0, 5, 59]] = np.nan
        valid = np.flatnonzero(scores.objectness.notnull().values[0])
        page = open_page(explore(IMAGE, scores, base="classes"))
        rng = np.random.default_rng(0)
        tried = 0
        for base in ("e", "classes"):
            for rank_by in ("objectness", "sentiment", "both"):
                if base == "e" and rank_by == "both" and n_emotions > 2:
                    continue
                for k in (1, 8, 57, 100):
                    alpha, beta = rng.uniform(0, 4), rng.uniform(0, 2)
                    settings = {"alpha": alpha, "base": base, "rank_by": rank_by}
                    result = calculate(page, k=k, alpha=alpha, beta=beta, base=base, rankBy=rank_by)
                    self.same(result, scores, valid, k, beta, settings)
                    tried += 1
        assert tried >= 20

    def same(self, result, scores, valid, k, beta, settings):
        exact = scores.drop_vars(["label", "fold"]).astype(np.float64)
        regions = affective_regions(exact, k, **settings).isel(image=0)
        chosen = regions.region.values[regions.region.values >= 0]
        assert valid[result["chosen"]].tolist() == chosen.tolist()
        for rank, i in enumerate(result["chosen"]):
            region, best = result["regions"][i], regions.isel(rank=rank)
            assert region["objectness"] == float(best.objectness)
            assert region["sentiment"] == pytest.approx(float(best.sentiment_score), abs=1e-6)
            assert region["affective"] == pytest.approx(float(best.affective_score), abs=1e-6)
        for precision in (exact, scores):
            want = predict_labels(precision, k, beta=beta, **settings).isel(image=0)
            np.testing.assert_allclose(result["response"], want.response, rtol=0, atol=1e-6)
            np.testing.assert_allclose(result["probability"], want.probability, rtol=0, atol=1e-6)
            assert result["label"] == int(want.label)

    def test_a_certain_region_and_one_of_zero(self, open_page, scores):
        certain = scores.copy(deep=True)
        certain.region_probability.values[0, 0] = (1, 0)
        result = calculate(open_page(explore(IMAGE, certain)), rankBy="sentiment")
        assert result["regions"][0]["sentiment"] == 1
        assert result["chosen"][0] == 0

    def test_of_equal_responses_the_first_wins(self, open_page, scores):
        even = scores.copy(deep=True)
        even.global_probability.values[:] = even.region_probability.values[:] = 0.5
        page = open_page(explore(IMAGE, even.isel(region=slice(0, 5))))
        assert calculate(page)["label"] == 0
        assert text(page, ".label") == "positive"

    def test_without_regions_the_label_is_the_full_images(self, open_page, make_scores):
        none = make_scores(1, 5)
        page = open_page(explore(IMAGE, none))
        result = calculate(page, beta=2)
        np.testing.assert_allclose(result["response"], none.global_probability.values[0])
        assert text(page, ".regions caption").startswith("No region was proposed")
        assert page.get_by_label(LABELS["k"]).is_disabled()


class TestDisplay:
    def test_tables_and_label_follow_the_controls(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        slide(page, "k", 4)  # K = 5
        page.get_by_label("beta of Eq. 3").fill("1.5")
        page.get_by_label("senti", exact=True).check()
        page.get_by_label("classes", exact=True).check()
        settings = {"base": "classes", "rank_by": "sentiment"}
        regions = affective_regions(scores, 5, **settings).isel(image=0)
        fused = predict_labels(scores, 5, beta=1.5, **settings).isel(image=0)
        emotion = str(scores.emotion.values[int(fused.label)])
        assert text(page, ".label") == emotion
        assert text(page, ".share") == f"{100 * float(fused.probability.max()):.1f} %"
        rows = page.locator(".regions tbody tr")
        assert rows.count() == 39
        assert page.locator(".regions tr.chosen").count() == 5
        for rank in range(5):
            cells = rows.nth(rank).inner_text().split()
            assert cells[:4] == [
                str(rank + 1),
                *(
                    f"{float(regions[name][rank]):.3f}"
                    for name in ("objectness", "sentiment_score", "affective_score")
                ),
            ]
        for m, emotion in enumerate(scores.emotion.values):
            values = (
                scores.global_probability.values[0, m],
                regions.probability.values[:, m].mean(),
                fused.probability.values[m],
            )
            cells = page.locator(".probabilities tbody tr").nth(m).inner_text().split()
            assert cells == [str(emotion), *(f"{value:.3f}" for value in values)]

    def test_boxes_lie_at_their_pixels(self, open_page, scores):
        page = open_page(explore(IMAGE, scores, k=3))
        best = affective_regions(scores, 3).isel(image=0).box.values
        frame = page.locator(".stage").bounding_box()
        boxes = page.locator(".box.chosen")
        assert boxes.count() == 3
        placed = {box.inner_text(): box.bounding_box() for box in (boxes.nth(i) for i in range(3))}
        for rank, (x0, y0, x1, y1) in enumerate(best, 1):
            scale = frame["width"] / 400
            box = placed[str(rank)]
            assert box["x"] - frame["x"] == pytest.approx(x0 * scale, abs=1)
            assert box["y"] - frame["y"] == pytest.approx(y0 * scale, abs=1)
            assert box["width"] == pytest.approx(max((x1 - x0) * scale, 4), abs=1)
            assert box["height"] == pytest.approx(max((y1 - y0) * scale, 4), abs=1)

    def test_the_line_in_the_plane_separates_chosen_from_others(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        for rank_by, alpha in (("objectness", 1), ("sentiment", 1), ("both", 0), ("both", 2)):
            calculate(page, rankBy=rank_by, alpha=alpha)
            beyond = page.evaluate("""() => {
                const { explorer } = document.querySelector(".arlib-explorer");
                const { $, result, parts } = explorer;
                const numbers = path => path.match(/-?[\\d.]+(e-?\\d+)?/g).map(Number);
                const line = $(".limit").getAttribute("d");
                const at = parts.map(({ point }) => numbers(point.getAttribute("transform")));
                const side = ([x, y]) => {  // > 0 beyond the line, on it 0
                    const n = numbers(line);
                    if (line.includes("V")) return x - n[0];
                    if (line.includes("H")) return n[1] - y;
                    const pairs = n.flatMap((v, i) => (i % 2 ? [] : [[v, n[i + 1]]]));
                    const next = pairs.findIndex(([px]) => px <= x);
                    if (next < 1) return y <= pairs.at(-1)[1] ? 1 : x - pairs[0][0];
                    const [[ax, ay], [bx, by]] = [pairs[next - 1], pairs[next]];
                    return ay + ((by - ay) * (x - ax)) / (bx - ax) - y;
                };
                return at.map((place, i) => [result.chosen.includes(i), side(place)]);
            }""")
            assert all(side > -0.1 if chosen else side < 0.1 for chosen, side in beyond), rank_by
            last = min(side for chosen, side in beyond if chosen)
            assert last == pytest.approx(0, abs=0.2), rank_by

    def test_many_emotions_rank_by_both_with_base_classes_only(self, open_page, make_scores):
        scores = make_scores(1, 9, 3, missing=False)
        page = open_page(explore(IMAGE, scores, base="e", rank_by="objectness"))
        assert page.locator(".note").is_hidden()
        page.get_by_label("both", exact=True).check()
        assert page.get_by_label("classes", exact=True).is_checked()
        assert page.get_by_label("e", exact=True).is_disabled()
        assert page.locator(".note").is_visible()
        page.get_by_label("obj", exact=True).check()
        assert page.get_by_label("e", exact=True).is_enabled()

    def test_eight_emotions_show_the_note_at_once_and_the_first_three(self, open_page, make_scores):
        scores = make_scores(1, 9, 8, missing=False)
        page = open_page(explore(IMAGE, scores, base="classes"))
        assert page.get_by_label("e", exact=True).is_disabled()
        assert page.locator(".note").is_visible()
        page.locator(".regions tbody tr").first.hover()
        best = affective_regions(scores, 1, base="classes").probability.values[0, 0]
        first = np.argsort(-best)[:3]
        shares = ", ".join(f"emotion{m} {best[m]:.3f}" for m in first)
        assert text(page, ".readout") == f"Rank 1: {shares}"

    def test_reset_goes_back(self, open_page, scores):
        page = open_page(explore(IMAGE, scores, k=6, alpha=0.333, beta=5.0))
        before = text(page, ".columns")
        assert "5.00" in before
        slide(page, "k", 1)
        slide(page, "beta", 3)
        assert text(page, ".columns") != before
        page.get_by_role("button", name="Reset").click()
        assert text(page, ".columns") == before
        assert page.evaluate("document.querySelector('div').explorer.state.alpha") == 0.333


class TestControls:
    def test_a_mouse_moves_a_slider(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        at = page.get_by_label("beta of Eq. 3").bounding_box()
        y = at["y"] + at["height"] / 2
        page.mouse.move(at["x"] + at["width"] / 4, y)
        page.mouse.down()
        page.mouse.move(at["x"] + at["width"] + 20, y, steps=5)
        page.mouse.up()
        assert text(page, "output[for=beta]") == "2.00"
        want = float(predict_labels(scores, 8, beta=2.0).probability.max())
        assert text(page, ".share") == f"{100 * want:.1f} %"

    def test_the_keyboard_reaches_and_moves_everything(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        reached = []
        for _ in range(7):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("""() => {
                    const at = document.activeElement.shadowRoot.activeElement;
                    return at.id || at.name || at.className || at.getAttribute("aria-label");
                }""")
            )
        stops = ["k", "alpha", "beta", "rankBy", "base", "reset", "Region of rank 1, fused"]
        assert reached == stops
        stop = page.locator(".regions button[tabindex='0']")  # one, whatever N is
        assert stop.all_inner_texts() == ["1"]
        calculate(page, rankBy="sentiment")
        assert stop.all_inner_texts() == ["1"]
        for _ in range(5):
            page.keyboard.press("Shift+Tab")
        page.keyboard.press("ArrowRight")
        assert text(page, "output[for=alpha]") == "1.01"

    def test_touch_moves_a_slider_and_pins_a_region(self, open_page, scores):
        page = open_page(
            explore(IMAGE, scores),
            has_touch=True,
            is_mobile=True,
            viewport={"width": 390, "height": 844},
        )
        page.get_by_label("beta of Eq. 3").scroll_into_view_if_needed()
        at = page.get_by_label("beta of Eq. 3").bounding_box()
        page.touchscreen.tap(at["x"] + at["width"] - 4, at["y"] + at["height"] / 2)
        assert float(text(page, "output[for=beta]")) > 1.9
        page.locator(".regions tbody tr").nth(2).tap()
        assert text(page, ".box.on") == "3"
        assert page.locator("button[aria-pressed=true]").inner_text() == "3"
        page.locator(".regions tbody tr").nth(2).tap()
        assert page.locator(".on").count() == 0

    def test_touch_finds_a_region_in_the_image(self, open_page, scores):
        page = open_page(explore(IMAGE, scores, k=1), has_touch=True)
        page.locator(".box.chosen").evaluate("box => box.scrollIntoView()")
        at = page.locator(".box.chosen").bounding_box()
        page.touchscreen.tap(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        assert page.locator(".regions tr.on").inner_text().split()[0] == "1"

    @pytest.mark.parametrize("rank", [0, 4, 30])
    def test_pointing_at_a_row_finds_box_and_point(self, open_page, scores, rank):
        page = open_page(explore(IMAGE, scores))
        row = page.locator(".regions tbody tr").nth(rank)
        row.hover()
        self.linked(page, rank)
        page.mouse.move(2, 2)
        assert page.locator(".on").count() == 0

    def test_pointing_at_a_point_finds_row_and_box(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        for number in (0, 11, 38):
            at = page.locator(".points path").nth(number).bounding_box()
            page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
            rank = int(page.locator(".regions tr.on").inner_text().split()[0]) - 1
            self.linked(page, rank)
            frame = page.locator(".rows").bounding_box()
            row = page.locator(".regions tr.on").bounding_box()
            assert frame["y"] <= row["y"] + 1
            assert row["y"] + row["height"] <= frame["y"] + frame["height"] + 1

    def test_pointing_into_the_image_finds_the_smallest_chosen_box(self, open_page, scores):
        nested = scores.isel(region=[0, 1, 2]).copy(deep=True)
        nested.box.values[0] = [[0, 0, 400, 300], [100, 100, 300, 250], [150, 120, 250, 200]]
        page = open_page(explore(IMAGE, nested, k=3))
        frame = page.locator(".stage").bounding_box()
        scale = frame["width"] / 400
        regions = []
        for x, y in ((20, 20), (110, 240), (200, 150)):
            page.mouse.move(frame["x"] + x * scale, frame["y"] + y * scale)
            regions.append(
                page.evaluate("""() => {
                const { parts } = document.querySelector("div").explorer;
                return parts.findIndex(({ row }) => row.classList.contains("on"));
            }""")
            )
        assert regions == [0, 1, 2]

    def test_arrows_move_along_the_rows_and_escape_releases(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        page.get_by_role("button", name="Region of rank 1,").focus()
        self.linked(page, 0)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        self.linked(page, 2)
        page.keyboard.press("End")
        self.linked(page, 38)
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        page.get_by_label(LABELS["k"]).focus()
        self.linked(page, 0)  # pinned
        page.keyboard.press("Escape")
        assert page.locator(".on").count() == 0

    def linked(self, page, rank):
        """Row, box and point of one rank are on, no others; the line below shows its numbers."""
        on = page.evaluate("""() => {
            const { parts, result } = document.querySelector("div").explorer;
            const on = name => parts.flatMap((part, i) => part[name].matches(".on") ? [i] : []);
            return ["row", "box", "point"].map(name => on(name).map(i => result.order.indexOf(i)));
        }""")
        assert on == [[rank], [rank], [rank]]
        assert page.locator(".box.on").is_visible()
        readout = re.fullmatch(r"Rank (\d+): (\w+) (0.\d+), \w+ 0.\d+", text(page, ".readout"))
        assert int(readout[1]) == rank + 1
        predicted = page.locator(".regions tr.on td").last.inner_text().split()
        assert predicted[0] == readout[2]
        assert float(predicted[1]) == pytest.approx(float(readout[3]), abs=0.0051)


class TestAccessibility:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    @pytest.mark.parametrize("n_emotions", [2, 8])
    def test_axe_finds_nothing(self, open_page, make_scores, scheme, width, n_emotions):
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        scores = make_scores(1, 20, n_emotions, missing=False)
        size = {"width": width, "height": 900}
        page = open_page(explore(IMAGE, scores, base="classes"), color_scheme=scheme, viewport=size)
        page.locator(".regions tbody tr").nth(1).click()
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
        report = axe.run(page, options={"runOnly": rules})
        assert report.violations_count == 0, report.generate_report()
        assert len(report.response["passes"]) > 10
        assert page.evaluate("document.documentElement.scrollWidth") == width

    def test_the_label_is_announced_once_when_a_slider_stops(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        spoken = page.get_by_role("status")
        spoken.get_by_text("from the full image and 8 regions").wait_for(state="attached")
        page.evaluate("""() => {
            window.announced = [];
            const note = all => window.announced.push(all.at(-1).target.textContent);
            const watch = new MutationObserver(note);
            const { $ } = document.querySelector("div").explorer;
            watch.observe($(".spoken"), { childList: true });
        }""")
        page.clock.install(time=0)  # keys of a busy machine come more than 400 ms apart
        page.clock.pause_at(1000)
        slide(page, "k", 2)
        page.clock.run_for(399)
        assert page.evaluate("window.announced") == []
        page.clock.run_for(1)
        fused = predict_labels(scores, 3)
        label = str(scores.emotion.values[int(fused.label[0])])
        share = 100 * float(fused.probability.max())
        want = f"{label}, {share:.1f} percent, from the full image and 3 regions"
        assert page.evaluate("window.announced") == [want]
        page.clock.run_for(10_000)
        assert page.evaluate("window.announced") == [want]

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_follows_system_book_and_jupyterlab(self, open_page, scores, scheme):
        page = open_page(explore(IMAGE, scores), color_scheme=scheme)

        def is_dark():
            colour = page.locator(".card").evaluate(
                "card => getComputedStyle(card).backgroundColor"
            )
            return sum(map(int, re.findall(r"\d+", colour)[:3])) < 200

        assert is_dark() == (scheme == "dark")
        for where, name in (("documentElement", "theme"), ("body", "jpThemeLight")):
            for value, dark in (("dark", True), ("light", False)):
                setting = str(not dark).lower() if where == "body" else value
                page.evaluate(f"document.{where}.dataset.{name} = '{setting}'")
                page.wait_for_timeout(50)
                assert is_dark() == dark
            page.evaluate(f"delete document.{where}.dataset.{name}")
            page.wait_for_timeout(50)
        assert is_dark() == (scheme == "dark")

    def test_nothing_moves_where_reduced_motion_is_set(self, open_page, scores):
        moving = (
            "getComputedStyle(document.querySelector('div').explorer.$('.bar')).transitionDuration"
        )
        for wish, seconds in (("reduce", "0s"), ("no-preference", "0.15s")):
            page = open_page(explore(IMAGE, scores), reduced_motion=wish)
            assert page.evaluate(moving) == seconds

    def test_without_scripts_the_image_and_the_label_are_shown(self, open_page, scores):
        page = open_page(explore(IMAGE, scores, title="Noise"), java_script_enabled=False)
        assert page.get_by_role("img", name="The image").is_visible()
        assert page.get_by_text("Noise: ").is_visible()


class TestOnAPage:
    def test_hostile_texts_are_only_texts(self, open_page, scores):
        harm = "</script><script>window.harm = 1</script><img src=x onerror='window.harm = 1'>\"&"
        named = scores.assign_coords(emotion=[f"good{harm}", f"bad{harm}"])
        page = open_page(explore(IMAGE, named, title=f"t{harm}", alt=f"a{harm}"))
        assert text(page, ".title") == f"t{harm}"
        assert text(page, ".label") in (f"good{harm}", f"bad{harm}")
        assert page.locator(".stage img").get_attribute("alt") == f"a{harm}"
        assert page.title() == f"t{harm}"
        page.locator(".regions tbody tr").nth(1).hover()
        page.wait_for_timeout(500)
        assert page.evaluate("window.harm === undefined && document.images.length === 1")

    def test_two_explorers_are_independent(self, open_page, scores, make_scores):
        other = make_scores(1, 12, 3, seed=9, missing=False)
        page = open_page(
            explore(IMAGE, scores, title="one"),
            explore(IMAGE, other, title="two", base="classes", k=4),
        )
        one, two = (page.get_by_label(name, exact=True) for name in ("one", "two"))
        before = two.locator(".columns").inner_text()
        one.get_by_label("K, regions").focus()
        page.keyboard.press("Home")
        one.get_by_label("obj", exact=True).check()
        assert one.locator("tr.chosen").count() == 1
        assert two.locator(".columns").inner_text() == before
        assert two.get_by_label("both", exact=True).is_checked()
        two.get_by_label("senti", exact=True).check()
        assert one.get_by_label("obj", exact=True).is_checked()

    def test_it_starts_where_a_notebook_inserts_it_later(self, open_page, scores):
        """As JupyterLab does: inert HTML first, outside the page; then scripts anew; then shown."""
        page = open_page(explore(IMAGE, scores, title="first"))
        page.evaluate(
            """html => {
                const output = document.createElement("div");
                output.innerHTML = html;
                for (const old of output.querySelectorAll("script")) {
                    const fresh = document.createElement("script");
                    for (const { name, value } of old.attributes) fresh.setAttribute(name, value);
                    fresh.textContent = old.textContent;
                    old.replaceWith(fresh);
                }
                document.querySelector("main").append(output);
            }""",
            explore(IMAGE, scores, title="later", k=5).html,
        )
        assert page.get_by_label("later", exact=True).locator("tr.chosen").count() == 5
        assert page.get_by_label("first", exact=True).locator("tr.chosen").count() == 8

    def test_it_reports_every_change_to_scripts(self, open_page, scores):
        page = open_page(explore(IMAGE, scores))
        counts = page.evaluate("""() => {
            const host = document.querySelector(".arlib-explorer");
            const counts = [];
            const note = event => counts.push(event.detail.chosen.length);
            host.addEventListener("explorer-change", note);
            host.explorer.set({ k: 3 });
            host.explorer.set({ k: 5 });
            return counts;
        }""")
        assert counts == [3, 5]


def test_the_example_by_hand_of_chapter_5(open_page, make_scores):
    """The full image leans negative, three regions mostly do not: 0.7833 against 0.7167."""
    scores = make_scores(1, 3, missing=False)
    scores.global_probability.values[0] = (0.45, 0.55)
    scores.region_probability.values[0] = [[0.8, 0.2], [0.9, 0.1], [0.3, 0.7]]
    page = open_page(explore(IMAGE, scores, k=3))
    response = calculate(page)["response"]
    np.testing.assert_allclose(response, [0.45 + 0.5 / 3 * 2.0, 0.55 + 0.5 / 3 * 1.0], atol=1e-6)
    regions = scores.region_probability.values[0].astype(float)
    full = scores.global_probability.values[0].astype(float)
    np.testing.assert_allclose(response, late_fusion(full, regions), atol=1e-12)
