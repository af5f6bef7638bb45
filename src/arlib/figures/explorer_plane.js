/* The plane of objectness and sentiment score, with the line that separates chosen regions from others. */

const NS = "http://www.w3.org/2000/svg";
const PLANE = { left: 44, right: 330, top: 12, bottom: 208 };

function make(tag, facts = {}, parent = null) {
  const node = facts.svg ? document.createElementNS(NS, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name === "text") node.textContent = value;
    else if (name !== "svg") node.setAttribute(name, value);
  }
  parent?.append(node);
  return node;
}

function ticks(low, high) {  // about four round numbers
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  return Array.from({ length: count }, (_, i) => (Math.ceil(low / step - 1e-9) + i) * step);
}

function drawPlane({ $, result, state, parts }) {
  const { regions, order, chosen, score } = result;
  const { alpha, rankBy } = state;
  const xs = regions.map((region) => region.objectness);
  const ys = regions.map((region) => region.sentiment);
  const span = (values) => {
    const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    const room = 0.06 * (high - low) || 0.05;
    return [low - room, high + room];
  };
  const [[x0, x1], [y0, y1]] = [span(xs), span(ys)];
  const { left, right, top, bottom } = PLANE;
  const x = (value) => left + ((value - x0) / (x1 - x0)) * (right - left);
  const y = (value) => bottom - ((value - y0) / (y1 - y0)) * (bottom - top);
  const axes = $(".axes");
  axes.replaceChildren();
  const frame = { svg: true, x: left, y: top, width: right - left, height: bottom - top };
  make("rect", { ...frame, class: "frame" }, axes);
  $("#inside").replaceChildren(make("rect", frame));
  for (const value of ticks(x0, x1)) {
    const facts = { svg: true, x: x(value), y: bottom + 15, "text-anchor": "middle" };
    make("text", { ...facts, text: Number(value.toPrecision(3)) }, axes);
  }
  for (const value of ticks(y0, y1)) {
    const facts = { svg: true, x: left - 6, y: y(value) + 4, "text-anchor": "end" };
    make("text", { ...facts, text: Number(value.toPrecision(3)) }, axes);
  }
  const middle = [(left + right) / 2, (top + bottom) / 2];
  make("text", { svg: true, x: middle[0], y: 241, "text-anchor": "middle", text: "objectness" }, axes);
  make("text", { svg: true, "text-anchor": "middle", text: "sentiment score",
    transform: `translate(11 ${middle[1]}) rotate(-90)` }, axes);
  order.forEach((i, rank) => {
    parts[i].point.setAttribute("transform", `translate(${x(xs[i])} ${y(ys[i])})`);
    if (rank < chosen.length) $(".points").append(parts[i].point);
  });
  const last = score[chosen.at(-1)];  // the line joins equal scores
  let line = "";
  if (rankBy === "objectness" || (rankBy === "both" && alpha === 0)) line = `M${x(last)} 0V246`;
  else if (rankBy === "sentiment") line = `M0 ${y(last)}H340`;
  else if (chosen.length) {
    const at = Array.from({ length: 91 }, (_, degree) => (degree * Math.PI) / 180);
    line = `M${at.map((angle) => `${x(last * Math.cos(angle))} `
      + `${y((last * Math.sin(angle)) / Math.sqrt(alpha))}`).join("L")}`;
  }
  $(".limit").setAttribute("d", chosen.length ? line : "");
}
