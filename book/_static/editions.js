"use strict";
// Sets two editions side by side from the JSON in the page. Every text goes in as a text.
(() => {
  const facts = JSON.parse(document.getElementById("compare-facts").textContent);
  const form = document.getElementById("compare-editions");
  const found = document.getElementById("compare-found");
  const said = document.getElementById("compare-said");
  const picked = ["compare-one", "compare-other"].map((id) => document.getElementById(id));

  const element = (name, ...parts) => {
    const made = document.createElement(name);
    made.append(...parts);
    return made;
  };

  const table = (caption, heads, rows) => {
    const head = (text) => {
      const cell = element("th", text);
      cell.scope = "col";
      return cell;
    };
    const made = element(
      "table",
      element("caption", caption),
      element("thead", element("tr", ...heads.map(head))),
      element("tbody", ...rows.map((row) => element("tr", ...row.map((part) => element("td", part)))))
    );
    made.className = "facts";
    made.tabIndex = 0; // it scrolls by itself
    return made;
  };

  const differing = (one, other) =>
    [...new Set([...Object.keys(one), ...Object.keys(other)])]
      .sort()
      .filter((name) => one[name] !== other[name])
      .map((name) => [name, one[name] ?? "\u2013", other[name] ?? "\u2013"]);

  const output = (cell, index) =>
    index < 0 ? "(no such cell)" : element("pre", cell.texts[index] || "(nothing)");

  const compare = () => {
    const [one, other] = picked.map((select) => facts.editions[select.selectedIndex]);
    const heads = [one.name, other.name];
    const parameters = differing(one.parameters, other.parameters);
    const chapters = new Map();
    let same = facts.alike;
    let cells = 0;
    facts.cells.forEach((cell, n) => {
      const [first, second] = [one.said[n], other.said[n]];
      if (first === second) {
        same += first < 0 ? 0 : 1;
        return;
      }
      cells += 1;
      const rows = chapters.get(cell.chapter) ?? [];
      rows.push([element("code", cell.source), output(cell, first), output(cell, second)]);
      chapters.set(cell.chapter, rows);
    });
    const parts = parameters.length
      ? [table("Parameters that differ", ["parameter", ...heads], parameters)]
      : [];
    for (const [chapter, rows] of chapters) {
      const what = `Cells of ${chapter} that print otherwise`;
      const summary = element("summary", `${chapter}: ${rows.length} print otherwise`);
      parts.push(element("details", summary, table(what, ["cell", ...heads], rows)));
    }
    found.replaceChildren(...parts);
    said.textContent =
      `${one.name} (${one.when}) and ${other.name} (${other.when}): ${parameters.length} ` +
      `parameters differ; ${cells} cells print otherwise, ${same} the same.`;
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  picked.forEach((select) => select.addEventListener("change", compare));
  form.hidden = false;
  compare();
})();
