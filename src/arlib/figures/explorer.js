/* The explorer: an image, its regions, and controls; the regions are ranked anew after each change.
   Python puts the method, the plane and this into one function, ended by startExplorers(html, css). */

const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];
const SHAPES = [
  "M5 0A5 5 0 1 1 -5 0A5 5 0 1 1 5 0Z", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z",
  "M0 -6.5L5 0L0 6.5L-5 0Z", "M0 6L5.5 -4.5H-5.5Z", "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
];

class Explorer {
  constructor(host, html, css) {
    this.data = JSON.parse(host.querySelector("script[type='application/json']").textContent);
    this.state = { ...this.data.settings };
    this.pinned = null;
    this.root = host.attachShadow({ mode: "open" });
    this.root.innerHTML = html;
    this.root.prepend(make("style", { text: css }));
    this.$ = (selector) => this.root.querySelector(selector);
    this.host = host;
    this.host.explorer = this;  // for scripts: .state, .result, .set({alpha: 2})
    this.build(host.querySelector("img"));
    this.listen();
    this.followTheme();
    this.set({});
  }

  build(image) {
    const { data } = this;
    const [width, height] = data.size;
    this.$(".card").setAttribute("aria-label", data.title);
    this.$(".title").textContent = data.title;
    this.$(".stage").style.setProperty("--shape", width / height);
    this.$(".stage").prepend(make("img", { src: image.src, alt: image.alt }));
    if (Math.max(width, height) < 200) this.$(".stage img").classList.add("pixels");
    this.$(".plane").setAttribute("aria-label", "Every region by objectness, to the right, and "
      + "sentiment score, upwards; the table lists the same numbers.");
    this.parts = data.boxes.map(([x0, y0, x1, y1], i) => {
      const box = make("div", { class: "box" }, this.$(".boxes"));
      const place = { left: x0 / width, top: y0 / height,
        width: (x1 - x0) / width, height: (y1 - y0) / height };
      for (const [side, share] of Object.entries(place)) box.style[side] = `${100 * share}%`;
      const predicted = data.probability[i].indexOf(Math.max(...data.probability[i]));
      const colour = COLOURS[predicted % COLOURS.length];
      box.style.setProperty("--colour", colour);
      box.style.setProperty("--on-it", predicted % COLOURS.length ? "#000" : "#fff");
      if (predicted) box.classList.add("dashed");
      make("span", {}, box);
      const point = make("path", { svg: true, d: SHAPES[predicted % SHAPES.length] }, this.$(".points"));
      point.style.setProperty("--colour", colour);
      const row = make("tr", {}, this.$(".regions tbody"));
      const button = make("button", { type: "button", tabindex: -1, "aria-pressed": false },
        make("th", { scope: "row" }, row));
      const cells = [0, 1, 2, 3].map(() => make("td", {}, row));
      return { box, point, row, button, cells, predicted, area: (x1 - x0) * (y1 - y0) };
    });
    this.probabilities = data.emotions.map((emotion, m) => {
      const row = make("tr", {}, this.$(".probabilities tbody"));
      row.style.setProperty("--colour", COLOURS[m % COLOURS.length]);
      make("th", { scope: "row", text: emotion }, row);
      return [0, 1, 2].map((column) => make("td", column === 2 ? { class: "bar" } : {}, row));
    });
    this.$("#k").max = Math.max(1, this.parts.length);
    this.$("#k").disabled = !this.parts.length;
    this.$("#alpha").max = Math.max(4, Math.ceil(data.settings.alpha));
    this.$("#beta").max = Math.max(2, Math.ceil(data.settings.beta));
  }

  set(change) {
    this.state = { ...this.state, ...change };
    const many = this.data.emotions.length > 2;
    const note = many && this.state.rankBy === "both" ? "With more than two emotions and base e "
      + "Eq. 1 can be negative, and Eq. 2 would square it: ranking by both needs base “classes”." : "";
    if (note) this.state.base = "classes";
    this.$("input[value=e]").disabled = Boolean(note);
    this.$(".note").textContent = note;
    this.$(".note").hidden = !note;
    this.render();
  }

  listen() {
    for (const name of ["k", "alpha", "beta"]) {
      this.$(`#${name}`).addEventListener("input", (event) =>
        this.set({ [name]: Number(event.target.value) }));
    }
    for (const radio of this.root.querySelectorAll("input[type=radio]")) {
      radio.addEventListener("change", () => this.set({ [radio.name]: radio.value }));
    }
    this.$(".reset").addEventListener("click", () => this.set(this.data.settings));
    this.parts.forEach(({ row, button }, i) => {
      row.addEventListener("pointerenter", () => this.show(i, false));
      row.addEventListener("click", () => this.pin(i));
      button.addEventListener("focus", () => this.show(i));
      button.addEventListener("blur", () => this.show(this.pinned));
    });
    for (const [area, find] of [[".stage", this.boxAt], [".plane", this.pointAt]]) {
      this.$(area).addEventListener("pointermove", (event) => this.show(find.call(this, event)));
      this.$(area).addEventListener("click", (event) => this.pin(find.call(this, event)));
    }
    for (const area of [".stage", ".plane", ".regions tbody"]) {
      this.$(area).addEventListener("pointerleave", () => this.show(this.pinned));
    }
    this.$(".regions").addEventListener("keydown", (event) => this.move(event));
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.pin(null);
    });
  }

  move(event) {  // one stop for Tab; arrows go from row to row
    const { order } = this.result;
    const here = order.indexOf(this.parts.findIndex(({ button }) => button === event.target));
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: order.length - 1 }[event.key];
    if (here < 0 || to === undefined || order[to] === undefined) return;
    event.preventDefault();
    this.stop(order[to]);
    this.parts[order[to]].button.focus();
  }

  stop(region) {
    this.parts.forEach(({ button }, i) => { button.tabIndex = i === region ? 0 : -1; });
  }

  boxAt(event) {  // the smallest chosen box under the pointer
    const frame = this.$(".stage").getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * this.data.size[0];
    const y = ((event.clientY - frame.top) / frame.height) * this.data.size[1];
    const under = this.result.chosen.filter((i) => {
      const [x0, y0, x1, y1] = this.data.boxes[i];
      return x0 <= x && x <= x1 && y0 <= y && y <= y1;
    });
    return under.sort((a, b) => this.parts[a].area - this.parts[b].area)[0] ?? null;
  }

  pointAt(event) {  // the nearest point, if one is near
    const away = this.parts.map(({ point }) => {
      const at = point.getBoundingClientRect();
      return Math.hypot(at.x + at.width / 2 - event.clientX, at.y + at.height / 2 - event.clientY);
    });
    const least = Math.min(...away);
    return least < 24 ? away.indexOf(least) : null;
  }

  pin(region) {
    this.pinned = region === this.pinned ? null : region;
    this.parts.forEach(({ button }, i) => button.setAttribute("aria-pressed", i === this.pinned));
    this.show(this.pinned);
  }

  show(region, scroll = true) {
    this.parts.forEach(({ box, point, row }, i) => {
      for (const node of [box, point, row]) node.classList.toggle("on", i === region);
    });
    this.$(".card").classList.toggle("looking", region !== null);
    this.$(".readout").textContent = region === null
      ? "Point at, tap, or tab to a region to find it in the image, the plane and the table."
      : `Rank ${this.result.order.indexOf(region) + 1}: ${this.words(region)}`;
    if (region === null || !scroll) return;
    this.$(".points").append(this.parts[region].point);  // on top
    const [row, rows] = [this.parts[region].row, this.$(".rows")];
    const hidden = row.offsetTop < rows.scrollTop + 48
      || row.offsetTop + row.offsetHeight > rows.scrollTop + rows.clientHeight;
    if (hidden) rows.scrollTop = row.offsetTop - rows.clientHeight / 2;
  }

  words(region) {  // its three most probable emotions, so that the line keeps its height
    const shares = this.data.emotions.map((name, m) => [this.data.probability[region][m], name]);
    const first = shares.sort(([a], [b]) => b - a).slice(0, 3);
    return first.map(([share, name]) => `${name} ${share.toFixed(3)}`).join(", ");
  }

  render() {
    const { data, state, parts } = this;
    const result = this.result = compute(data, state);
    for (const name of ["k", "alpha", "beta"]) {
      const value = name === "k" ? String(Math.min(state.k, parts.length)) : state[name].toFixed(2);
      this.$(`#${name}`).value = state[name];
      this.$(`output[for=${name}]`).textContent = value;
    }
    for (const radio of this.root.querySelectorAll("input[type=radio]")) {
      radio.checked = state[radio.name] === radio.value;
    }
    const label = data.emotions[result.label];
    const share = result.probability[result.label];
    this.$(".label").textContent = label;
    this.$(".share").textContent = `${(100 * share).toFixed(1)} %`;
    this.$(".prediction").style.setProperty("--colour", COLOURS[result.label % COLOURS.length]);
    this.probabilities.forEach((cells, m) => {
      const values = [data.global[m], result.mean[m], result.probability[m]];
      cells.forEach((cell, i) => {
        cell.textContent = Number.isNaN(values[i]) ? "–" : values[i].toFixed(3);
      });
      cells[2].style.setProperty("--share", `${100 * result.probability[m]}%`);
      cells[2].parentElement.classList.toggle("first", m === result.label);
    });
    result.order.forEach((i, rank) => this.renderRegion(i, rank, rank < result.chosen.length));
    this.$(".regions tbody").append(...result.order.map((i) => parts[i].row));
    this.$(".regions caption").textContent = parts.length
      ? `${parts.length} regions, best first; the first ${result.chosen.length} are fused`
      : "No region was proposed: the label is the full image's";
    this.stop(result.order[0]);
    drawPlane(this);
    this.show(this.pinned);
    this.speak(`${label}, ${(100 * share).toFixed(1)} percent, from the full image and `
      + `${result.chosen.length} regions`);
    this.host.dispatchEvent(new CustomEvent("explorer-change", { detail: result }));
  }

  renderRegion(i, rank, chosen) {
    const { box, point, row, button, cells, predicted } = this.parts[i];
    const { objectness, sentiment, affective, probability } = this.result.regions[i];
    for (const node of [box, point, row]) node.classList.toggle("chosen", chosen);
    box.style.zIndex = this.parts.length - rank;
    box.firstChild.textContent = button.textContent = rank + 1;
    button.setAttribute("aria-label", `Region of rank ${rank + 1}${chosen ? ", fused" : ""}`);
    [objectness, sentiment, affective].forEach((value, column) => {
      cells[column].textContent = value.toFixed(3);
    });
    cells[3].textContent = `${this.data.emotions[predicted]} ${probability[predicted].toFixed(2)}`;
  }

  speak(words) {  // once, when a slider stops
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.$(".spoken").textContent = words; }, 400);
  }

  followTheme() {  // the book's switch, else JupyterLab's, else the reader's system
    const system = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => {
      const { theme } = document.documentElement.dataset;
      const lab = document.body.dataset.jpThemeLight;
      const dark = ["dark", "light"].includes(theme) ? theme === "dark"
        : lab ? lab === "false" : system.matches;
      this.$(".card").classList.toggle("dark", dark);
    };
    system.addEventListener("change", follow);
    const observer = new MutationObserver(follow);
    const attributeFilter = ["data-theme", "data-jp-theme-light"];
    for (const node of [document.documentElement, document.body]) {
      observer.observe(node, { attributeFilter });
    }
    follow();
  }
}

function startExplorers(html, css) {
  for (const host of document.querySelectorAll(".arlib-explorer")) {
    if (!host.shadowRoot) new Explorer(host, html, css);
  }
}
